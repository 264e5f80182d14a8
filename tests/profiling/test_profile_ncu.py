"""Nsight Compute's command line and its refusals, in the words its logs really use."""

import re
from pathlib import Path

import msgspec
import pytest

from refine_agent.profiling import metrics, ncu
from tests.profiling.evidence_on_file import layer_norm

REPORT, LOG = Path("page.ncu-rep"), Path("ncu.log")


def options(command: list[str], name: str) -> list[str]:
    return [command[at + 1] for at, part in enumerate(command) if part == name]


def test_the_clocks_are_never_touched_and_the_caches_are_cold() -> None:
    command = ncu.command(["worker"], report=REPORT, log=LOG)
    assert options(command, "--clock-control") == ["none"]
    assert options(command, "--cache-control") == ["all"]


def test_only_the_worker_and_only_its_range_are_profiled() -> None:
    command = ncu.command(["python", "worker.py"], report=REPORT, log=LOG)
    assert options(command, "--target-processes") == ["application-only"]
    assert options(command, "--nvtx-include") == ["candidate/"]
    assert command[-2:] == ["python", "worker.py"]


def test_a_kernels_name_is_matched_whole_and_never_as_a_pattern() -> None:
    seen = ["void ns::norm<float, 4>(float*, int)", "a.*b"]
    (pattern,) = options(
        ncu.command(["worker"], report=REPORT, log=LOG, kernels=seen), "--kernel-name"
    )
    expression = re.compile(pattern.removeprefix("regex:"))
    assert expression.match("norm")
    assert not expression.match("norm_backward")
    assert not expression.match("aXXb")


def test_the_report_is_named_once_however_the_caller_spells_it() -> None:
    (export,) = options(ncu.command(["worker"], report=REPORT, log=LOG), "--export")
    assert export == "page"


def test_every_number_of_a_page_is_asked_for_by_name_or_comes_with_a_section() -> None:
    (by_name,) = options(ncu.command(["worker"], report=REPORT, log=LOG), "--metrics")
    asked = set(by_name.split(","))
    of_sections = [name for name in metrics.needed_counters() if name not in asked]
    # Of these the sections' own reports tell: see the zoo's recordings, which are complete.
    assert {name.split("__")[0] for name in of_sections} <= {"device", "launch", "derived", "smsp"}
    assert all(("pcsamp" in name or "stalled" in name) for name in of_sections if "smsp" in name)
    assert metrics.OPCODES in asked


def test_nothing_is_asked_for_by_name_that_no_page_reads() -> None:
    (by_name,) = options(ncu.command(["worker"], report=REPORT, log=LOG), "--metrics")
    assert set(by_name.split(",")) - set(metrics.needed_counters()) == {metrics.OPCODES}


def test_a_report_that_lacks_what_pages_read_is_told_from_a_complete_one() -> None:
    assert metrics.complete(layer_norm("full"))
    assert not metrics.complete(layer_norm("detailed"))
    assert not metrics.complete(msgspec.structs.replace(layer_norm("full"), opcodes={}))


PERMISSION = (
    "==PROF== Connected to process 812 (/usr/bin/python3.12)\n"
    "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU "
    "Performance Counters on the target device 0. For instructions on enabling permissions and to "
    "get more information see https://developer.nvidia.com/ERR_NVGPUCTRPERM\n"
)
DRIVER = (
    "==ERROR== An error was reported by the driver:\n"
    "==ERROR== Cuda driver is not compatible with Nsight Compute.\n"
    "==ERROR== The application returned an error code (11).\n"
)
BUSY = (
    "==ERROR== Profiling failed because a driver resource was unavailable. Ensure that no other "
    "tool (like DCGM) is concurrently collecting profiling data.\n"
)
LOCKED = (
    "==ERROR== Failed to open/create lock file /tmp/nsight-compute-lock. Please check that this "
    "process has write permissions on it.\n"
)
NOTHING = "==PROF== Connected to process 9 (a.out)\n==WARNING== No kernels were profiled.\n"
# As printed by 2025.3.1 on an H200.
SECTION = (
    "==ERROR== Option '--section NoSuchSection' did not match any section.\n"
    "==ERROR== Use --list-sections to see the list of available sections.\n"
)
METRIC = "==ERROR== Failed to find metric no__such_metric.sum\n"
BROKEN = "==ERROR== Failed to prepare kernel for profiling\n==ERROR== Unknown Error on device 0.\n"
CRASH = (
    "==WARNING== Could not determine user home directory for section deployment.\n"
    "==ERROR== The application returned an error code (11).\n"
)
KILLED = (
    '==PROF== Profiling "norm": 0%....50%....100% - 36 passes\n'
    "==PROF== Trying to shutdown target application\n"
    "==PROF== Report: page.ncu-rep\n"
)


@pytest.mark.parametrize(
    ("log", "code", "cause", "retry"),
    [
        (PERMISSION, 1, "permission", False),
        (DRIVER, 11, "version", False),
        (BUSY, 9, "busy", True),
        (LOCKED, 1, "busy", True),
        (METRIC, 1, "metrics", False),
        (SECTION, 1, "metrics", False),
        (NOTHING, 0, "no kernels", False),
        ("", 0, "no kernels", False),
        (CRASH, 11, "crashed", False),
        (BROKEN, 9, "crashed", False),
        ("", None, "timeout", False),
        ("", 137, "timeout", False),
        ("", 127, "missing", False),
    ],
)
def test_each_refusal_has_its_cause_and_a_next_step(
    log: str,
    code: int | None,
    cause: str,
    retry: bool,  # noqa: FBT001
) -> None:
    refused = ncu.refusal(log, code)
    assert refused is not None
    assert (refused.cause, refused.retry) == (cause, retry)
    assert refused.opens
    assert "; " in refused.sentence()


def test_a_crash_under_the_profiler_names_the_programs_own_exit_code() -> None:
    refused = ncu.refusal(CRASH, 1)
    assert refused is not None
    assert "its code: 11" in refused.text


def test_ending_the_worker_at_its_last_launch_is_no_refusal() -> None:
    assert ncu.refusal(KILLED, 9) is None
    assert ncu.refusal(KILLED, 0) is None


def test_a_tool_is_found_on_the_path_and_named_by_its_version(tmp_path: Path) -> None:
    folder = tmp_path / "nsight-compute-2025.3.1"
    folder.mkdir()
    tool = folder / "ncu"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    printed = "NVIDIA (R) Nsight Compute Command Line Profiler\nVersion 2025.3.1.0 (build 36398880)"
    assert ncu.available(str(folder)) == ncu.Tool(path=str(tool), version="2025.3.1")
    found = ncu.available(str(folder), version_output=printed)
    assert found is not None
    assert found.version == "2025.3.1"
    assert ncu.available(str(tmp_path)) is None


def test_the_drivers_word_on_counters_is_read() -> None:
    assert ncu.counters_restricted("RmProfilingAdminOnly: 1\n") is True
    assert ncu.counters_restricted("Mobile: 4\nRmProfilingAdminOnly: 0\n") is False
    assert ncu.counters_restricted("") is None


def test_replay_passes_are_read_from_the_log() -> None:
    assert ncu.passes(KILLED) == {"norm": 36}
