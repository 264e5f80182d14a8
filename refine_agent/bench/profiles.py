"""Profiling a candidate: a worker under Nsight Compute, torch.profiler's rows, the compiler's word.

It owns starting the profiler ahead of time, driving it through one call and falling down the ladder
with a reason; what the numbers mean is written in ``refine_agent.profiling``.
"""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_random

from refine_agent.bench import machine
from refine_agent.bench.processes import Child, start_profiled
from refine_agent.builder import remarks
from refine_agent.loop import BenchFault
from refine_agent.profiling import call, metrics, ncu, ncu_rep, static, summary, trace
from refine_agent.profiling.call import Call
from refine_agent.profiling.evidence import CpuRun
from refine_agent.profiling.records import Rival
from refine_agent.worker.fence import Rules

if TYPE_CHECKING:
    from refine_agent import wire
    from refine_agent.bench.local import LocalBench
    from refine_agent.bench.processes import Worker
    from refine_agent.judge.settled import Settled
    from refine_agent.profiling.evidence import KernelReport, Static, Trace
    from refine_agent.profiling.records import Kernel, Page
    from refine_agent.records import Candidate, Passed
    from refine_agent.wire import Traced

# Another process holding the counters lets go within seconds, or not at all.
BUSY_WAIT_S = 20.0
NCU_DEADLINE_S = 120.0


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A profiler whose worker has imported torch and waits for a candidate."""

    child: Child
    builds: wire.Channel
    folder: Path
    report: Path
    log: Path


# Each holds a context on the device, some hundreds of megabytes.
MOST_TRACERS = 6
# Further ones are too short to matter.
MOST_KERNELS = 4


class Profiler:
    """Makes pages, on the highest rung of the ladder that holds."""

    def __init__(self, bench: LocalBench, settled: Settled) -> None:
        self._bench = bench
        self._settled = settled
        self._counter = itertools.count(1)
        self._waiting: Waiting | None = None
        self._tracers: deque[Worker] = deque()
        self._seen: dict[str, Traced | None] = {}
        self._collect: list[str] = []  # other than what pages read, by name
        self._closed: str | None = None  # why Nsight Compute is not used any more
        self._tool = ncu.available() if self._wants_ncu() else None

    def _wants_ncu(self) -> bool:
        return self._bench.kind == "cuda" and self._bench.options.profile in ("auto", "ncu")

    @property
    def _traces(self) -> bool:
        return self._bench.options.profile not in ("off", "static")

    @property
    def _tracers_wanted(self) -> int:
        """A tracer takes seconds to get ready on a GPU; samples are judged faster than that."""
        return min(self._bench.options.samples, MOST_TRACERS)

    # --- starting ahead -------------------------------------------------------------------------

    def start_ahead(self) -> None:
        """Start the next profilers now: their workers get ready while the model thinks."""
        while self._traces and len(self._tracers) < self._tracers_wanted:
            self._tracers.append(self._bench.spawn_tracer())
        if self._tool is None or self._closed is not None or self._waiting is not None:
            return
        number = next(self._counter)
        folder = self._bench.home / f"ncu{number}"
        inside = folder / "work"
        folder.mkdir(mode=0o711)
        inside.mkdir(mode=0o700)
        report, log = folder / "page.ncu-rep", folder / "ncu.log"
        tool = self._tool

        def around(inner: list[str]) -> list[str]:
            return ncu.command(inner, report=report, log=log, tool=tool.path, collect=self._collect)

        child, builds = start_profiled(
            around,
            folder,
            folder / "out",
            ends_at_once=True,
            rules=Rules(
                # ncu and what it injects meet in this folder, as the user that started both: the
                # process keeps its user id and loses its capabilities.
                folder=str(inside),
                readable=(str(self._bench.cache),),
                writable=(str(folder),),
            ),
        )
        self._waiting = Waiting(child=child, builds=builds, folder=folder, report=report, log=log)

    def traced(self, candidate: Candidate) -> Traced | None:
        """Return what torch.profiler saw in one call of the candidate; ``None`` where it failed."""
        if not self._traces:
            return None
        if candidate.digest not in self._seen:
            tracer = self._tracers.popleft() if self._tracers else self._bench.spawn_tracer()
            if self._bench.options.samples > MOST_TRACERS:
                # One more than are ready will be wanted. Elsewhere none starts within a turn: what
                # it does to the driver would slow down the trial of the next sample.
                self._tracers.append(self._bench.spawn_tracer())
            self._seen[candidate.digest] = self._bench.trace(candidate, tracer)
        return self._seen[candidate.digest]

    def close(self) -> None:
        """End the profiler that waits."""
        if self._waiting is not None:
            self._waiting.child.close()
            self._waiting = None

    # --- a page ---------------------------------------------------------------------------------

    def page(self, candidate: Candidate, verdict: Passed) -> Page:
        """Return the page of one candidate."""
        reports: tuple[KernelReport, ...] = ()
        why = self._closed
        if self._tool is not None and self._closed is None:
            reports, why = self._counters(candidate)
        elif self._bench.kind == "cuda" and self._wants_ncu():
            why = why or "ncu is not on the PATH; install Nsight Compute for hardware counters"
        page = summary.page(
            candidate_digest=candidate.digest,
            device=self._bench.device_name,
            shape=self._shape(),
            work=self._settled.work,
            ceilings=self._settled.ceilings,
            timing_us=verdict.timing.median_us,
            reports=reports,
            trace=self._trace(candidate),
            static=self._static(candidate),
            why_not_higher=why,
            cpu=self._cpu(candidate),
            rivals=_rivals(verdict),
        )
        self.start_ahead()
        return page

    def kernels(self, candidate: Candidate) -> tuple[Kernel, ...]:
        """Return the kernels of one call as timeline and compiler tell them, by time.

        It costs nothing that was not measured anyway, so that kernels nobody profiles have it too.
        """
        seen = Call(trace=self._trace(candidate), static=self._static(candidate))
        return call.kernels(seen)[:MOST_KERNELS]

    def _shape(self) -> str:
        fitness = self._settled.fitness
        return f"{', '.join(fitness.inputs)} -> {', '.join(fitness.outputs)}"

    def _trace(self, candidate: Candidate) -> Trace | None:
        seen = self.traced(candidate)
        if seen is None:
            return None
        try:
            return trace.read(seen.rows)
        except trace.UnreadableTrace:
            return None

    def _static(self, candidate: Candidate) -> Static | None:
        artifacts = self._bench.artifacts_of(candidate)
        if not artifacts:
            return None
        folder = Path(artifacts[-1].path).parent
        return static.report(
            ptxas_text="\n".join(artifact.log for artifact in artifacts),
            vector_text=_text(folder / remarks.FILE),
            source="cpp_source",
            source_text=_text(folder / "cpp_source"),
        )

    def _cpu(self, candidate: Candidate) -> CpuRun | None:
        seen = self.traced(candidate)
        if self._bench.kind != "cpu" or seen is None:
            return None
        with suppress(trace.UnreadableTrace):
            if (tallied := trace.read_processor(seen.rows)) is not None:
                return tallied
        return CpuRun(cpu_seconds=seen.cpu_seconds, wall_seconds=seen.wall_seconds)

    # --- Nsight Compute -------------------------------------------------------------------------

    def _counters(self, candidate: Candidate) -> tuple[tuple[KernelReport, ...], str | None]:
        """Return what Nsight Compute saw, or why it saw nothing."""
        attempts = Retrying(
            retry=retry_if_result(lambda found: isinstance(found, ncu.Refusal) and found.retry),
            stop=stop_after_delay(BUSY_WAIT_S),
            wait=wait_random(1, 3),
        )
        try:
            found = attempts(self._run_once, candidate)
        except RetryError as why:
            found = why.last_attempt.result()
        if not isinstance(found, ncu.Refusal):
            return found, None
        if found.cause == "metrics" and not self._collect:
            self._collect = ncu.larger_collection()
            return self._counters(candidate)
        if found.cause in ("permission", "version", "missing"):
            self._closed = found.sentence()  # it will not get better within this run
        return (), found.sentence()

    def _run_once(self, candidate: Candidate) -> tuple[KernelReport, ...] | ncu.Refusal:
        self.start_ahead()
        waiting, self._waiting = self._waiting, None
        assert waiting is not None  # noqa: S101 - start_ahead saw to it
        # ncu ends the worker at its last launch: the report tells whether it saw it.
        with suppress(BenchFault):
            self._bench.call_once(candidate, waiting.child, waiting.builds)
        code = self._await(waiting)
        log = _said(waiting)
        if not waiting.report.exists():
            refusal = ncu.refusal(log, code)
            return refusal or _crashed("Nsight Compute left no report")
        try:
            found = ncu_rep.read_apart(waiting.report).kernels
        except ncu_rep.UnreadableReport as why:
            return _crashed(str(why))
        if not all(map(metrics.complete, found)):
            # This version has not all that pages read under its name: from now on, its own sets.
            self._collect = ncu.larger_collection()
        return found or ncu.NO_KERNELS

    def _await(self, waiting: Waiting) -> int | None:
        import subprocess  # noqa: PLC0415 - for one exception's name

        try:
            return waiting.child.process.wait(timeout=NCU_DEADLINE_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            waiting.child.close()


def _said(waiting: Waiting) -> str:
    """Return ncu's log; where it never got as far as the program, what it printed as well.

    Errors in its own options are only printed. Once the program runs, what is printed is the
    candidate's, whose words open and close nothing.
    """
    log = _text(waiting.log)
    return log if "==PROF==" in log else f"{log}\n{_text(waiting.folder / 'out')}"


def _rivals(verdict: Passed) -> list[Rival]:
    """Return the baselines' times, taken in the same run as the candidate's."""
    timed = {
        "eager PyTorch": verdict.eager,
        "torch.compile": verdict.compiled,
        "torch.compile, max-autotune": verdict.autotuned,
    }
    return [Rival(name=name, time_us=one.median_us) for name, one in timed.items() if one]


def _text(path: Path) -> str:
    return machine.text_in(path) or ""


def _crashed(why: str) -> ncu.Refusal:
    return ncu.Refusal(
        cause="crashed",
        text=why,
        opens="the next candidate is profiled anew, or pass --profile torch",
    )
