"""Two runs on one machine: one times at a time, and on few cores nobody compiles beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import machine
from refine_agent.loop import BenchFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

HOLD = """
import os
import sys
from pathlib import Path
from refine_agent.bench import machine
machine.FEW_CORES = 1 << 20
machine.LOCKS = Path({folder!r})
os.umask(0o077)
os.setresuid(*[{user}] * 3)
with machine.{lock}:
    print("held", flush=True)
    sys.stdin.readline()
"""
PATIENCE_S, MOMENT_S = 20.0, 0.3
SOMEBODY_ELSE = 64_999


@pytest.fixture(autouse=True)
def locks(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> Path:
    """A folder as /tmp is; both runs have few cores, and this one a TMPDIR of its own."""
    monkeypatch.setattr(machine, "FEW_CORES", 1 << 20)
    folder = Path(tempfile.mkdtemp(prefix="locks-", dir=temporary))
    folder.chmod(0o1777)
    monkeypatch.setattr(machine, "LOCKS", folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "elsewhere"))
    return folder


@contextmanager
def another_run(lock: str, *, user: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Hold a lock in another process until a line is written to it."""
    asked = HOLD.format(lock=lock, folder=str(machine.LOCKS), user=user or os.getuid())
    with subprocess.Popen(
        [sys.executable, "-c", asked],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        yield run
        run.kill()


def taken(lock: AbstractContextManager[None]) -> threading.Event:
    """Take a lock on a thread; the event is set once it is ours."""
    ours = threading.Event()

    def take() -> None:
        with lock:
            ours.set()

    threading.Thread(target=take, daemon=True).start()
    return ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("device_lock('gpu')", machine.device_lock("gpu")),
        ("device_lock('gpu')", machine.build_lock()),
        ("build_lock()", machine.device_lock("gpu")),
    ],
    ids=["timing waits for timing", "a build waits for timing", "timing waits for a build"],
)
def test_what_would_disturb_a_timing_waits(theirs: str, ours: AbstractContextManager[None]) -> None:
    with another_run(theirs) as other:
        mine = taken(ours)
        assert not mine.wait(MOMENT_S)

        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()

        assert mine.wait(PATIENCE_S)


def test_builds_of_two_runs_go_side_by_side() -> None:
    with another_run("build_lock()"):
        assert taken(machine.build_lock()).wait(PATIENCE_S)


def test_a_run_that_is_killed_lets_go() -> None:
    with another_run("device_lock('gpu')") as other:
        mine = taken(machine.device_lock("gpu"))
        other.kill()

        assert mine.wait(PATIENCE_S)


def test_where_cores_are_many_a_build_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_run("device_lock('gpu')"):
        monkeypatch.setattr(machine, "FEW_CORES", 0)

        assert taken(machine.build_lock()).wait(PATIENCE_S)


def test_whoever_has_to_wait_for_the_device_is_told_so_and_nobody_else() -> None:
    told = threading.Event()
    with machine.device_lock("elsewhere", on_wait=told.set):
        assert not told.is_set()

    with another_run("device_lock('gpu')") as other:
        mine = taken(machine.device_lock("gpu", on_wait=told.set))
        assert told.wait(PATIENCE_S)
        other.kill()
        assert mine.wait(PATIENCE_S)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("ours_first", [True, False], ids=["ours", "the other's"])
def test_runs_of_two_users_share_a_lock_whoever_made_it(*, ours_first: bool) -> None:
    if ours_first:
        taken_at_once("gpu")
    with another_run("device_lock('gpu')", user=SOMEBODY_ELSE) as other:
        mine = taken(machine.device_lock("gpu"))
        assert not mine.wait(MOMENT_S)
        other.kill()

        assert mine.wait(PATIENCE_S)


def test_a_link_in_a_locks_place_is_not_followed_and_said_to_be_in_the_way(locks: Path) -> None:
    (locks / "refine_agent-gpu.lock").symlink_to(locks / "somebodys")

    with pytest.raises(BenchFault, match=r"refine_agent-gpu\.lock cannot be opened .*; remove it"):
        taken_at_once("gpu")
    assert not (locks / "somebodys").exists()


def test_a_pipe_in_a_locks_place_keeps_nobody_waiting(locks: Path) -> None:
    os.mkfifo(locks / "refine_agent-gpu.lock")

    assert taken(machine.device_lock("gpu")).wait(PATIENCE_S)


def test_where_nobody_may_write_a_runs_own_folder_has_its_locks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "LOCKS", tmp_path / "nowhere")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    taken_at_once("gpu")

    assert {path.name for path in tmp_path.iterdir()} == {
        "refine_agent-gpu.lock",
        "refine_agent-cores.lock",
    }


def taken_at_once(identity: str) -> None:
    with machine.device_lock(identity):
        pass
