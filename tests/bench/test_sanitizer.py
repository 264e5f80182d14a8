"""What compute-sanitizer prints becomes findings that an author can act on, bounded and quoted."""

from __future__ import annotations

import stat
import sys
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import LocalBench, sanitizer
from refine_agent.bench.sanitizer import Report, read
from refine_agent.loop import Quiet, aside
from refine_agent.records import Candidate, Crashed, Options, Passed
from refine_agent.standins import passed
from tests.bench.misbehaviours import HONEST, PROBLEM, forward

if TYPE_CHECKING:
    from pathlib import Path

# In the form that the Compute Sanitizer manual (2025.3) prints, of kernels of our own.
MEMCHECK = """\
========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at fill(float *, long)+0xb0 in cuda.cu:21
=========     by thread (100,0,0) in block (0,0,0)
=========     Access to 0x7f48d8800190 is out of bounds
=========     and is 1 bytes after the nearest allocation at 0x7f48d8800000 of size 400 bytes
=========     Saved host backtrace up to driver entry point at kernel launch time
=========         Host Frame: fill_launch [0x1f7a] in fill.so
=========
========= Invalid __global__ write of size 4 bytes
=========     at fill(float *, long)+0xb0 in cuda.cu:21
=========     by thread (101,0,0) in block (0,0,0)
=========     Access to 0x7f48d8800194 is out of bounds
=========     and is 5 bytes after the nearest allocation at 0x7f48d8800000 of size 400 bytes
=========
========= ERROR SUMMARY: 28 errors
========= ERROR SUMMARY: 8 errors were not printed. Use --print-limit option to adjust the number \
of printed errors
"""
RACECHECK = """\
========= COMPUTE-SANITIZER
========= Error: Race reported between Write access at reverse(float *)+0x150 in cuda.cu:27
=========     and Read access at reverse(float *)+0x160 in cuda.cu:30 [4096 hazards]
=========
========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)
"""
INITCHECK = """\
========= COMPUTE-SANITIZER
========= Uninitialized __global__ memory read of size 4 bytes
=========     at sum(const float *, float *)+0x70 in cuda.cu:41
=========     by thread (31,0,0) in block (1,0,0)
=========     Address 0x7f3c7ec000fc
=========
========= Uninitialized __global__ memory read of size 4 bytes
=========     at void at::native::vectorized_elementwise_kernel<4>(int)+0x90
=========     by thread (0,0,0) in block (0,0,0)
=========     Address 0x7f3c7ec00100
=========
========= ERROR SUMMARY: 2 errors
"""
SYNCCHECK = """\
========= COMPUTE-SANITIZER
========= Barrier error detected. Divergent thread(s) in warp.
=========     at half(int *)+0xa0 in cuda.cu:61
=========     by thread (19,0,0) in block (0,0,0)
=========
========= ERROR SUMMARY: 1 error
"""
CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
RACELESS = "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n"
NO_DEVICE = "========= COMPUTE-SANITIZER\n========= Error: No CUDA device found\n"


def test_a_write_past_the_end_names_kernel_line_thread_and_what_it_lies_behind() -> None:
    report = read(MEMCHECK, "memcheck")

    assert report.count == 28
    assert [finding.where for finding in report.findings] == [
        "fill(float *, long)+0xb0 in cuda.cu:21"
    ]
    text = report.text()
    assert (
        "Invalid __global__ write of size 4 bytes, at fill(float *, long)+0xb0 in cuda.cu:21"
        in text
    )
    assert "by thread (100,0,0) in block (0,0,0)" in text
    assert "1 bytes after the nearest allocation" in text
    assert "Host Frame" not in text


def test_a_race_names_both_lines() -> None:
    (finding,) = read(RACECHECK, "racecheck").findings

    assert "cuda.cu:27" in finding.what
    assert "cuda.cu:30" in finding.sentence()


def test_what_pytorchs_own_kernels_read_is_not_the_candidates() -> None:
    report = read(INITCHECK, "initcheck")

    assert [finding.where for finding in report.findings] == [
        "sum(const float *, float *)+0x70 in cuda.cu:41"
    ]


def test_a_barrier_that_not_all_threads_reach_is_told() -> None:
    assert "Divergent thread(s) in warp" in read(SYNCCHECK, "synccheck").text()


@pytest.mark.parametrize(("log", "check"), [(CLEAN, "memcheck"), (RACELESS, "racecheck")])
def test_a_clean_run_finds_nothing_and_says_that_it_looked(
    log: str, check: sanitizer.Check
) -> None:
    report = read(log, check)

    assert report == Report(check=check, count=0)


@pytest.mark.parametrize(
    ("log", "why"), [("", "ended without a summary"), (NO_DEVICE, "No CUDA device found")]
)
def test_a_tool_that_did_not_look_says_why_and_is_not_taken_for_clean(log: str, why: str) -> None:
    report = read(log, "memcheck")

    assert report.why_not is not None
    assert why in report.why_not
    assert report.count is None


def test_what_a_candidate_prints_into_the_log_stays_within_bounds() -> None:
    name = "k" * 100_000 + "\x1b[31m`\u202e"
    flood = "".join(
        f"========= Invalid __global__ write of size {n} bytes\n"
        f"=========     at {name} in a.cu:{n}\n"
        for n in range(50)
    )

    text = read(flood, "memcheck").text()

    assert len(text) < 4000
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_crash_is_told_its_line_and_a_keeper_is_doubted() -> None:
    reports = (read(MEMCHECK, "memcheck"), read(RACELESS, "racecheck"))
    crash = Crashed(during="check", reason="CUDA error: an illegal memory access", log="Traceback")

    told = sanitizer.told(crash, reports)
    doubted = sanitizer.told(passed(1.5), reports)

    assert isinstance(told, Crashed)
    assert "cuda.cu:21" in told.log
    assert told.log.endswith("Traceback")
    assert not isinstance(doubted, Crashed)
    assert [doubt.kind for doubt in doubted.suspicions] == ["memcheck"]


def test_a_keeper_says_which_tools_found_nothing_and_which_did_not_look_to_the_end() -> None:
    reports = (read(RACELESS, "racecheck"), Report(check="initcheck", why_not="it left no log"))

    kept = sanitizer.told(passed(1.5), reports)

    assert isinstance(kept, Passed)
    assert not kept.suspicions
    assert [tool.text for tool in kept.sanitized] == [
        "racecheck clean",
        "initcheck says nothing: it left no log",
    ]


def test_a_hazard_of_a_kernel_with_its_own_mbarriers_says_what_racecheck_cannot_follow() -> None:
    race = sanitizer.Finding(check="racecheck", what="Race reported between Write access at f()")
    reports = [sanitizer.Report(check="racecheck", findings=(race,), count=1)]
    plain = sanitizer.told(passed(1.5), reports, source="__syncthreads();")
    waits = sanitizer.told(passed(1.5), reports, source="mbarrier.try_wait.parity.shared.b64")
    assert isinstance(plain, Passed)
    assert isinstance(waits, Passed)
    assert sanitizer.ORDERED_UNSEEN not in plain.suspicions[0].evidence
    assert waits.suspicions[0].evidence.endswith(sanitizer.ORDERED_UNSEEN)


def test_a_candidate_that_crashes_while_it_loads_is_not_run_again() -> None:
    assert sanitizer.of(Crashed(during="load", reason="ImportError")) == ()
    assert sanitizer.of(Crashed(during="timing", reason="CUDA error")) == ("memcheck",)
    assert set(sanitizer.of(passed(1.5))) == {"memcheck", "racecheck", "initcheck", "synccheck"}


# --- around a worker ------------------------------------------------------------------------------

STAND_IN = """#!{python}
import subprocess, sys, time
arguments = sys.argv[1:]
log = arguments[arguments.index("--log-file") + 1]
check = arguments[arguments.index("--tool") + 1]
inner = arguments[arguments.index("{python}"):]
if check == "synccheck":
    time.sleep(1000)
with open(log, "w") as file:
    ended = subprocess.run(inner, close_fds=False).returncode
    file.write({memcheck!r} if ended == 0 else "the worker ended with %d" % ended)
"""


# Whoever reads it waits until somebody writes.
PIPE_FOR_LOG = """
log = os.path.join(os.path.dirname(os.environ["TMPDIR"]), "log")
os.unlink(log)
os.mkfifo(log)
"""


@pytest.fixture
def tool(tmp_path: Path) -> str:
    """A program with compute-sanitizer's command line, which runs what it is given."""
    path = tmp_path / "compute-sanitizer"
    path.write_text(STAND_IN.format(python=sys.executable, memcheck=MEMCHECK))
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_tools_run_around_a_worker_within_a_time_and_leave_no_process(
    tool: str, tmp_path: Path
) -> None:
    options = Options(device="cpu", compile_baseline=False, profile="off")
    with LocalBench(PROBLEM, options, tmp_path) as bench:
        bench.measure(PROBLEM, Quiet())
        tools = sanitizer.Sanitizer(bench, tool, deadline_s=40.0)
        candidate = Candidate(source=HONEST)
        looked = tools.reports(candidate, ("memcheck",))
        hung = sanitizer.Sanitizer(bench, tool, deadline_s=2.0).reports(candidate, ("synccheck",))
        piped = Candidate(source=forward(PIPE_FOR_LOG))
        waiting = aside(lambda: tools.reports(piped, ("memcheck",)))
        (unread,) = waiting.result(timeout=60.0)

    assert looked[0].findings, looked
    assert looked[0].findings[0].where == "fill(float *, long)+0xb0 in cuda.cu:21"
    assert hung[0].why_not is not None
    assert unread.why_not == "it left no log within its time"


def test_the_command_line_holds_only_options_that_the_manual_lists(tmp_path: Path) -> None:
    line = sanitizer.command(["python"], check="memcheck", log=tmp_path / "log", tool="cs")

    assert {word for word in line if word.startswith("--")} == {
        "--tool",
        "--log-file",
        "--target-processes",
        "--print-limit",
        "--show-backtrace",
        "--check-exit-code",
        "--require-cuda-init",
        "--report-api-errors",
        "--padding",
    }
    assert line[-1] == "python"
