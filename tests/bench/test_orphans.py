"""Nothing that a compiler, a tool or a candidate under one has started lives longer than it may."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench.processes import Child, run_trusted, start_profiled
from refine_agent.worker.census import everybody
from refine_agent.worker.fence import Rules
from tests.bench.leftovers import folder_of
from tests.bench.misbehaviours import forward

if TYPE_CHECKING:
    from collections.abc import Callable

# Starts another process as it is told, has it write its number and waits with it.
STARTS = """
import os, sys, time
from pathlib import Path
if os.fork() == 0:
    {how}
    Path(sys.argv[1]).write_text(str(os.getpid()))
    time.sleep(600)
time.sleep({waits})
"""
DAEMON = "os.setsid(); os.fork() and os._exit(0)"
DEADLINE_S = 30.0


def wait_until(met: Callable[[], bool]) -> None:
    ends = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < ends
        time.sleep(0.01)


def started(pid_file: Path) -> int:
    """Wait for the number that a process writes."""
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text()))
    return int(pid_file.read_text())


def lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - /proc, not a path
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("ending", ["deadline", "nobody waits", "ends"])
def test_what_a_compiler_started_ends_with_it_whatever_its_group(
    tmp_path: Path, ending: str
) -> None:
    script = STARTS.format(how="os.setpgid(0, 0)", waits=1 if ending == "ends" else 600)
    nobody = threading.Event()
    if ending == "nobody waits":
        threading.Timer(1.0, nobody.set).start()
    done = run_trusted(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "pid")],
        cwd=tmp_path,
        env=os.environ,
        deadline_s=1.0 if ending == "deadline" else DEADLINE_S,
        abandoned=nobody.is_set,
    )

    assert done.exit_code == (0 if ending == "ends" else None)
    assert not lives(started(tmp_path / "pid"))


def under_a_tool(
    folder: Path, tool: Callable[[list[str]], list[str]] = lambda inner: inner
) -> Child:
    (folder / "work").mkdir()
    rules = Rules(folder=str(folder / "work"), readable=(), writable=(str(folder),))
    child, builds = start_profiled(tool, folder, folder / "out", rules=rules)
    builds.close()
    return child


@pytest.mark.parametrize("ending", ["is closed", "ends"])
def test_a_daemon_under_a_tool_ends_with_it(tmp_path: Path, ending: str) -> None:
    script = STARTS.format(how=DAEMON, waits=2 if ending == "ends" else 600)
    child = under_a_tool(
        tmp_path, lambda _: [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "pid")]
    )
    daemon = started(tmp_path / "pid")
    if ending == "is closed":
        child.close()
    else:
        assert child.process.wait(DEADLINE_S) == 0

    assert not lives(daemon)
    child.close()


def test_a_tool_ends_as_it_would_by_itself(tmp_path: Path) -> None:
    for number, (command, code) in enumerate(
        {"exit 7": 7, "kill -SEGV $$": -signal.SIGSEGV, "true": 0}.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        child = under_a_tool(folder, lambda _, command=command: ["sh", "-c", command])  # type: ignore[misc]
        assert child.process.wait(DEADLINE_S) == code
        child.close()


def test_nothing_under_a_tool_outlives_the_bench(tmp_path: Path) -> None:
    script = STARTS.format(how=DAEMON, waits=600)
    child = under_a_tool(
        tmp_path, lambda _: [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "pid")]
    )
    daemon = started(tmp_path / "pid")
    assert child._lifeline is not None
    os.close(child._lifeline)  # as the kernel does when the bench is killed
    child._lifeline = None
    child.process.wait(DEADLINE_S)

    assert not lives(daemon)
    child.close()


DAEMONISES = forward(
    "if os.fork() == 0:\n"
    "    os.setsid()\n"
    "    if os.fork() == 0: time.sleep(600)\n"
    "    os._exit(0)\n"
    "time.sleep(600)"
)
BENCH = f"""
from pathlib import Path
import sys
from refine_agent.bench import LocalBench
from refine_agent.loop import Quiet
from refine_agent.records import Candidate, Options
from tests.bench.misbehaviours import PROBLEM

options = Options(device="cpu", compile_baseline=False, profile="off")
with LocalBench(PROBLEM, options, Path(sys.argv[1])) as bench:
    bench.measure(PROBLEM, Quiet())
    print(bench.home, flush=True)
    bench.judge(Candidate(source={DAEMONISES!r}), Quiet())
"""


def test_a_killed_bench_leaves_no_daemon_of_a_candidates(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BENCH, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stdout is not None
        home = Path(bench.stdout.readline().strip())

        wait_until(lambda: bool(daemons(home)))
        bench.kill()
    wait_until(lambda: not daemons(home))


def daemons(home: Path) -> list[int]:
    """What works in a candidate's folder and whose session's leader is gone."""
    inside = [pid for pid in everybody() if home in folder_of(pid).parents]
    return [pid for pid in inside if session_of(pid) not in inside]


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return pid
