"""compute-sanitizer around one call of a candidate: what it found, in words an author can act on.

It owns the command line, the time it may take and the reading of what the tool printed; what a
finding is worth is the verdict's business. Its output quotes names that a candidate chose.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from refine_agent.bench import machine
from refine_agent.bench.processes import start_profiled
from refine_agent.legible import legible
from refine_agent.loop import BenchFault
from refine_agent.records import Crashed, Passed, Sanitized, Suspicion
from refine_agent.worker.fence import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refine_agent import wire
    from refine_agent.bench.local import LocalBench
    from refine_agent.bench.processes import Child
    from refine_agent.records import Candidate

Check = Literal["memcheck", "racecheck", "initcheck", "synccheck"]
AFTER_A_CRASH: tuple[Check, ...] = ("memcheck",)
BEFORE_SEALING: tuple[Check, ...] = ("memcheck", "racecheck", "initcheck", "synccheck")

# All tools together; instrumented kernels run tens of times slower, racecheck's slowest of all.
DEADLINE_S = 60.0
# The tool stops printing there; a hundred threads of one bug are one bug.
PRINT_LIMIT = 20
MAX_FINDINGS, MAX_LINE_CHARS, MAX_LOG_BYTES = 4, 240, 1 << 20
# PyTorch's cached blocks hold many tensors, and a step from one into the next is no error to see:
# here every tensor is an allocation, with room behind it that nobody owns.
ENVIRONMENT = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
PADDING_BYTES = 256
# Seen with 2025.3: racecheck reports every read of what a bulk copy wrote, and every write that an
# arrival releases, however correctly an mbarrier in inline PTX orders them.
ORDERED_UNSEEN = (
    "racecheck follows __syncthreads() and cuda::barrier, not an mbarrier written in PTX: a hazard "
    "between accesses that one orders is none. See that each of these is"
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a tool reported, however many threads did it."""

    check: Check
    what: str  # "Invalid __global__ write of size 4 bytes"
    where: str | None = None  # "scale(float *, int)+0x90 in cuda.cu:21"
    details: tuple[str, ...] = ()  # the thread, the address, what it lies near

    def sentence(self) -> str:
        """Return it in one line."""
        parts = [self.what, *([f"at {self.where}"] if self.where else []), *self.details]
        return legible(", ".join(parts))[: 2 * MAX_LINE_CHARS]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool said of one call."""

    check: Check
    findings: tuple[Finding, ...] = ()
    count: int | None = None  # of errors or hazards, as it counted them itself
    why_not: str | None = None  # why it says nothing, in one sentence

    def text(self) -> str:
        """Return it as lines for a log that an author reads."""
        if self.why_not is not None:
            return f"compute-sanitizer {self.check}: {self.why_not}"
        total = f" ({self.count:,} in all)" if self.count else ""
        head = f"compute-sanitizer {self.check}{total}:"
        return "\n".join([head, *(f"- {finding.sentence()}" for finding in self.findings)])


# --- what it printed ------------------------------------------------------------------------------

# ========= Invalid __global__ write of size 4 bytes
# =========     at fill(float *, long)+0xb0 in cuda.cu:21
# =========     by thread (100,0,0) in block (0,0,0)
# (the Compute Sanitizer manual, "Understanding Memcheck Errors" and its kin for the other tools)
_LINE = re.compile(r"^=========(?P<indent> +)?(?P<text>\S.*)?$")
_HEADS = re.compile(
    r"^(Invalid |Uninitialized |Barrier error|Potential |Misaligned|Stack overflow|Illegal|"
    r"Malloc/Free error|Double free|Device-side |(\w+: )?Race reported)"
)
_SUMMARY = re.compile(
    r"(?:ERROR|RACECHECK) SUMMARY: (?P<shown>\d+) (?:errors?|hazards? displayed "
    r"\((?P<errors>\d+) errors?, (?P<warnings>\d+) warnings?\))$"
)
_SKIPPED = re.compile(r"backtrace|Host Frame|Target application|^$")
# Kernels of PyTorch's own: what they read uninitialised or out of order, no candidate can mend.
_NOT_THEIRS = re.compile(r"\bat::|\baten::|\bc10::|\bcub::|\bcublas|\bcudnn|\bcutlass::|\bthrust::")
_PROBLEM = re.compile(r"========= (?:Error|Fatal): (?P<why>[^\n]{1,300})")


def read(log: str, check: Check) -> Report:
    """Read what a tool printed; a log without its summary was cut short, and says nothing."""
    # The head has the first of the findings, the tail the summary.
    log = log if len(log) <= MAX_LOG_BYTES else f"{log[:MAX_LOG_BYTES]}\n{log[-MAX_LINE_CHARS:]}"
    summary = next((m for line in log.splitlines() if (m := _SUMMARY.search(line.strip()))), None)
    found = list(_merged(_findings(log, check)))
    if summary is None and not found:
        problem = _PROBLEM.search(log)
        why = legible(problem["why"]) if problem else "it ended without a summary"
        return Report(check=check, why_not=why)
    count = int(summary["errors"] or summary["shown"]) if summary else None
    return Report(check=check, findings=tuple(found[:MAX_FINDINGS]), count=count)


def _findings(log: str, check: Check) -> Iterator[Finding]:
    block: list[str] = []
    for line in log.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        text = (found["text"] or "").strip()[:MAX_LINE_CHARS]
        if _HEADS.match(text):
            yield from _finding(block, check)
            block = [text]
        elif block and len(found["indent"] or "") > 1 and not _SKIPPED.search(text):
            block.append(text)
        elif not text or not (found["indent"] or "").startswith("  "):
            yield from _finding(block, check)
            block = []
    yield from _finding(block, check)


def _finding(block: Sequence[str], check: Check) -> Iterator[Finding]:
    if not block or _NOT_THEIRS.search(" ".join(block)):
        return
    head, *rest = block
    places = [line.removeprefix("at ") for line in rest if line.startswith("at ")]
    others = [line for line in rest if not line.startswith("at ")]
    yield Finding(
        check=check,
        what=re.sub(r"^(Error|ERROR|Warning|WARNING): ", "", head),
        where=places[0] if places else None,
        details=tuple(others[:3]),
    )


def _merged(found: Iterator[Finding]) -> Iterator[Finding]:
    """Say once what many threads did at one place."""
    seen: set[tuple[str, str | None]] = set()
    for finding in found:
        key = (finding.what, finding.where)
        if key not in seen:
            seen.add(key)
            yield finding


# --- running it -----------------------------------------------------------------------------------


def available(search_path: str | None = None) -> str | None:
    """Return the tool's path; it also lies in the toolkit's folder beside nvcc."""
    found = shutil.which("compute-sanitizer", path=search_path)
    if found is not None:
        return found
    nvcc = shutil.which("nvcc", path=search_path)
    beside = Path(nvcc).resolve().parent / "compute-sanitizer" if nvcc else None
    return str(beside) if beside is not None and beside.exists() else None


def command(inner: Sequence[str], *, check: Check, log: Path, tool: str) -> list[str]:
    """Return the argument list that checks what ``inner`` runs and writes ``log``."""
    return [
        *(tool, "--tool", check, "--log-file", str(log)),
        *("--target-processes", "application-only", "--print-limit", str(PRINT_LIMIT)),
        *("--show-backtrace", "device", "--check-exit-code", "no", "--require-cuda-init", "no"),
        *_OPTIONS.get(check, ()),
        *inner,
    ]


_OPTIONS: dict[Check, tuple[str, ...]] = {
    # PyTorch asks CUDA for what may not be there, and handles the answer.
    "memcheck": ("--report-api-errors", "no", "--padding", str(PADDING_BYTES)),
    # Copies into and out of the slots are ours; what they move may be poison on purpose.
    "initcheck": ("--check-api-memory-access", "no"),
}


ABSENT = "it is not on the PATH; it comes with the CUDA toolkit"


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A tool around a worker that gets ready."""

    check: Check
    child: Child
    builds: wire.Channel
    log: Path


class Sanitizer:
    """Runs tools around a worker, one call each, within a time."""

    def __init__(self, bench: LocalBench, tool: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._bench = bench
        self._tool = tool
        self._deadline_s = deadline_s

    def reports(self, candidate: Candidate, checks: Sequence[Check]) -> tuple[Report, ...]:
        """Return what each tool says of one call of the candidate.

        All start at once, because each imports torch first; their calls take turns on the device.
        """
        ends = time.monotonic() + self._deadline_s
        running = [self._start(check) for check in checks]
        try:
            return tuple(self._report(candidate, each, ends) for each in running)
        finally:
            for each in running:
                each.child.close()
                each.builds.close()

    def _start(self, check: Check) -> Running:
        folder = Path(tempfile.mkdtemp(prefix=f"sanitizer-{check}-", dir=self._bench.home))
        folder.chmod(0o711)
        inside = folder / "work"
        inside.mkdir(mode=0o700)
        log = folder / "log"
        child, builds = start_profiled(
            lambda inner: command(inner, check=check, log=log, tool=self._tool),
            folder,
            folder / "out",
            rules=Rules(
                folder=str(inside), readable=(str(self._bench.cache),), writable=(str(folder),)
            ),
            variables=ENVIRONMENT,
        )
        return Running(check=check, child=child, builds=builds, log=log)

    def _report(self, candidate: Candidate, running: Running, ends: float) -> Report:
        left = ends - time.monotonic()
        if left <= 0:
            return Report(check=running.check, why_not="there was no time left for it")
        # Once it is killed it answers nobody any more, and whoever waits for it goes on.
        late = threading.Timer(left, running.child.close)
        late.start()
        try:
            # What it crashes on is what it is run for: the log tells.
            with suppress(BenchFault):
                self._bench.call_once(candidate, running.child, running.builds)
            running.child.process.wait()
        finally:
            late.cancel()
        log = machine.text_in(running.log)
        if log is None:
            return Report(check=running.check, why_not="it left no log within its time")
        return read(log, running.check)


# --- in a verdict ---------------------------------------------------------------------------------


def of(verdict: Crashed | Passed) -> tuple[Check, ...]:
    """Return the checks that are due: where a crash came from, and everything about a keeper."""
    if isinstance(verdict, Passed):
        return BEFORE_SEALING
    # What fails while it loads has launched nothing, or is told by its own traceback.
    return AFTER_A_CRASH if verdict.during in ("check", "timing") else ()


def told(
    verdict: Crashed | Passed, reports: Sequence[Report], *, source: str = ""
) -> Crashed | Passed:
    """Return the verdict with what the tools found: in a crash's log, or as doubts of a keeper.

    The candidate's source says which of it the tool may have misunderstood.
    """
    if isinstance(verdict, Crashed):
        texts = [report.text() for report in reports if report.findings or report.why_not]
        return replace(verdict, log="\n\n".join([*texts, verdict.log]).strip())
    doubts = [
        Suspicion(kind=report.check, evidence=_with_caveat(report, source))
        for report in reports
        if report.findings
    ]
    return replace(
        verdict,
        suspicions=(*verdict.suspicions, *doubts),
        sanitized=tuple(map(_record, reports)),
    )


def _record(report: Report) -> Sanitized:
    """Return what a tool came to; errors that are not the candidate's are none of it."""
    if report.why_not is not None:
        return Sanitized(check=report.check, errors=None, why_not=report.why_not)
    counted = (report.count or len(report.findings)) if report.findings else 0
    return Sanitized(check=report.check, errors=counted)


def _with_caveat(report: Report, source: str) -> str:
    if report.check == "racecheck" and "mbarrier" in source:
        return f"{report.text()}\n{ORDERED_UNSEEN}"
    return report.text()
