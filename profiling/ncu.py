"""Nsight Compute's command line: what to run around a worker, and why it refused when it did.

It builds argument lists and reads logs; spawning, waiting and killing belong to the caller.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from refine_agent.profiling import metrics, plain

# Replaying a kernel once more costs 30 to 70 ms, however short it is (H200), and each launch is
# replayed for all that is asked for. So sections are asked for only where they bring samples, rules
# that an author can act on, or what has no other name; every other counter is asked for by its own.
# The tables and charts of the memory sections alone bring 290 that no page reads.
SECTIONS = (
    "SpeedOfLight",
    "WorkloadDistribution",
    "LaunchStats",
    "Occupancy",
    "SourceCounters",
    "WarpStateStats",
    "SchedulerStats",
    "InstructionStats",
)
# What the sections above are sure to bring. Device attributes come with every report.
_OF_SECTIONS = (
    "device__",
    "launch__",
    "profiler__",
    "derived__",
    "smsp__pcsamp_",
    "smsp__average_warps_issue_stalled_",
)
# The same in NVIDIA's own sets, for a version that answers names with less than pages read. PM
# sampling, NVLink, NUMA and hierarchical rooflines of `--set full` answer questions that no
# kernel's author can act on.
_LARGER_SET = "detailed"
_LARGER_SECTIONS = (
    "WarpStateStats",
    "SchedulerStats",
    "MemoryWorkloadAnalysis_Tables",
    "InstructionStats",
)
RANGE = "candidate"
# The same kernel again adds little: calls of more launches are weighted by torch.profiler's
# timeline.
LAUNCHES = 6

Cause = Literal[
    "missing", "permission", "busy", "version", "metrics", "timeout", "no kernels", "crashed"
]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """An Nsight Compute that can be run, and its version where it is known."""

    path: str
    version: str | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no report: cause, words for a page, what would open this rung, retry or not."""

    cause: Cause
    text: str
    opens: str
    retry: bool = False

    def sentence(self) -> str:
        """Return cause and next step in one breath."""
        return f"{self.text}; {self.opens}"


def available(search_path: str | None = None, *, version_output: str | None = None) -> Tool | None:
    """Return the Nsight Compute on `search_path` (default: PATH), or None.

    Its version comes from `version_output` (what `ncu --version` printed) or from the folder it
    is installed in; nothing is run.
    """
    path = shutil.which("ncu", path=search_path)
    if path is None:
        return None
    return Tool(path=path, version=_version(version_output or "") or _version_of_folder(Path(path)))


def _version(text: str) -> str | None:
    found = re.search(r"Version\s+(\d{4}\.\d+\.\d+)", text) or re.search(r"(\d{4}\.\d+\.\d+)", text)
    return found.group(1) if found else None


def _version_of_folder(path: Path) -> str | None:
    return _version(str(path.resolve()))


def command(  # noqa: PLR0913  (each names one decision of a profiler run)
    around: Sequence[str],
    *,
    report: Path,
    log: Path,
    kernels: Sequence[str] = (),
    nvtx_range: str | None = RANGE,
    launch_count: int = LAUNCHES,
    tool: str = "ncu",
    collect: Sequence[str] = (),
) -> list[str]:
    """Return the argument list that profiles what `around` runs and leaves `report` behind.

    Only kernels launched inside the NVTX push range `nvtx_range` are profiled (None: all), and of
    those the ones named in `kernels` where given (as torch.profiler names them). `collect`
    replaces the choice of sections.
    """
    return [
        tool,
        *_which(kernels, nvtx_range, launch_count),
        *_how(),
        *(collect or default_collection()),
        # Source text comes from the candidate's folder; without it pages name lines all the same.
        *("--import-source", "yes", "--null-stdin"),
        *("--log-file", str(log), "--force-overwrite", "--export", str(report.with_suffix(""))),
        *around,
    ]


def default_collection() -> list[str]:
    """Return the options that choose what is collected: what pages read, by name, and no more."""
    by_name = [name for name in metrics.needed_counters() if not name.startswith(_OF_SECTIONS)]
    return [*_sections(SECTIONS), "--metrics", ",".join([*by_name, metrics.OPCODES])]


def larger_collection() -> list[str]:
    """Return options that bring the same in NVIDIA's own sets, at up to twice the passes."""
    return ["--set", _LARGER_SET, *_sections(_LARGER_SECTIONS)]


def _sections(names: Sequence[str]) -> list[str]:
    return [option for name in names for option in ("--section", name)]


def _which(kernels: Sequence[str], nvtx_range: str | None, launch_count: int) -> list[str]:
    options = ["--nvtx", "--nvtx-include", f"{nvtx_range}/"] if nvtx_range else []
    if kernels:
        names = "|".join(sorted({re.escape(plain.function(kernel)) for kernel in kernels}))
        options += ["--kernel-name-base", "function", "--kernel-name", f"regex:^({names})$"]
    # `--kill` ends the process at the last launch asked for: nothing after it is waited for.
    return [*options, "--launch-count", str(launch_count), "--kill", "yes"]


def _how() -> list[str]:
    return [
        # Compilers that a worker might start are never instrumented.
        *("--target-processes", "application-only"),
        # Never touch the device's clocks, and measure at those the judge times with.
        *("--clock-control", "none"),
        # Cold caches, as in the judge's timing.
        *("--cache-control", "all", "--replay-mode", "kernel", "--graph-profiling", "node"),
    ]


_PERMISSION = re.compile(r"ERR_NVGPUCTRPERM|permission to access NVIDIA GPU Performance Counters")
_BUSY = re.compile(
    r"driver resource was unavailable|no other tool \(like DCGM\)|concurrently collecting"
    r"|nsight-compute-lock|lock file|Another profil|already being profiled|ResourceUnavailable",
    re.IGNORECASE,
)
_VERSION = re.compile(
    r"driver is not compatible|not supported on (?:this )?device|is not supported by"
    r"|Unsupported GPU"
    r"|unrecogni[sz]ed option|requires a newer|Cuda driver is not|InsufficientDriver",
    re.IGNORECASE,
)
# A metric that the device has not is silently left out of the report (2025.3.1): pages name it.
_METRICS = re.compile(
    r"Failed to find metric|did not match any (?:section|set|metric)"
    r"|(?:find|unknown|invalid|no such) section|could not be found in"
    r"|sections? .*(?:not (?:be )?found|does not exist)"
    r"|metrics? .* not (?:found|available)"
    r"|Invalid metric|No metrics to collect",
    re.IGNORECASE,
)
_NOTHING = re.compile(r"No kernels were profiled")
_REPORT = "==PROF== Report:"
_ENDED = re.compile(r"The application returned an error code \((\d+)\)")
_NO_PROGRAM = re.compile(r"does not exist or is not an executable|Failed to launch")
TIMED_OUT = {124, 137}
NOT_FOUND = {126, 127}


def refusal(log_text: str, exit_code: int | None) -> Refusal | None:
    """Return why a run left no usable report, or None if it left one.

    `log_text` is ncu's log, best followed by what it printed: errors on its command line are only
    printed. `exit_code` None means that the caller's time limit ended it.
    """
    if exit_code in NOT_FOUND and "==PROF==" not in log_text:
        return MISSING
    for pattern, known in _KNOWN:
        if pattern.search(log_text):
            return known
    if exit_code is None or exit_code in TIMED_OUT:
        return TIMEOUT
    # `--kill yes` ends the application at the last launch, so its own code says nothing then.
    if _REPORT in log_text:
        return None
    return _without_report(log_text, exit_code)


def _without_report(log_text: str, exit_code: int) -> Refusal:
    if _NO_PROGRAM.search(log_text):
        return NO_PROGRAM
    if ended := _ENDED.search(log_text):
        return msgspec.structs.replace(CRASHED, text=f"{CRASHED.text} (its code: {ended.group(1)})")
    # A range or a name that matches no launch leaves code 0 and no report.
    if not exit_code or _NOTHING.search(log_text):
        return NO_KERNELS
    return msgspec.structs.replace(CRASHED, text=f"{CRASHED.text} (ncu's code: {exit_code})")


MISSING = Refusal(
    cause="missing",
    text="ncu is not on PATH",
    opens="install Nsight Compute (it comes with the CUDA toolkit) or add its folder to PATH",
)
PERMISSION = Refusal(
    cause="permission",
    text="ncu may not read the counters here (ERR_NVGPUCTRPERM)",
    opens="load the driver with NVreg_RestrictProfilingToAdminUsers=0 or give the container "
    "CAP_SYS_ADMIN",
)
BUSY = Refusal(
    cause="busy",
    text="another process holds the GPU's counters",
    opens="wait for it, or stop what samples them (dcgmi profpause --pause for DCGM)",
    retry=True,
)
VERSION = Refusal(
    cause="version",
    text="this ncu does not support this driver, device or option",
    opens="install the Nsight Compute that belongs to the driver's CUDA version",
)
METRICS = Refusal(
    cause="metrics",
    text="this ncu does not know a section or metric that was asked for",
    opens="install Nsight Compute 2025.1 or newer",
)
TIMEOUT = Refusal(
    cause="timeout",
    text="ncu did not finish in time",
    opens="allow it more seconds, or profile fewer launches",
)
NO_KERNELS = Refusal(
    cause="no kernels",
    text="no kernel was launched inside the candidate's range",
    opens="launch the kernel from forward() itself, not from an import or another thread",
)
NO_PROGRAM = Refusal(
    cause="crashed",
    text="ncu could not start the program it was given",
    opens="name it by its path; what env, sh and other starters run is not profiled",
)
CRASHED = Refusal(
    cause="crashed",
    text="the process under ncu ended without a report",
    opens="read the profiler's log in the attempt's folder",
)
_KNOWN = ((_PERMISSION, PERMISSION), (_BUSY, BUSY), (_VERSION, VERSION), (_METRICS, METRICS))


def counters_restricted(params: str) -> bool | None:
    """Say whether /proc/driver/nvidia/params closes the counters to users; None: no word."""
    found = re.search(r"RmProfilingAdminOnly:\s*(\d)", params)
    return None if found is None else found.group(1) == "1"


def passes(log_text: str) -> Mapping[str, int]:
    """Return the replay passes that ncu's log reports, by kernel name."""
    found = re.findall(r'==PROF== Profiling "([^"]{1,200})".*?(\d+) passes', log_text)
    return {plain.name(kernel): int(count) for kernel, count in found}
