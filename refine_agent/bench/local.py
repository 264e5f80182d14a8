"""A bench on this machine: a judge, a nursery, a builder, and the profilers that are there.

It owns the life of those processes over a run and the answers the loop asks for; it never imports
torch, and what a worker did is told by the judge or by its own ending.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec
from msgspec.structs import replace

from refine_agent import builder, wire
from refine_agent.bench import endings, machine, origins, sanitizer
from refine_agent.bench.line import JudgeGone, Line, NoRoom
from refine_agent.bench.meanwhile import meanwhile
from refine_agent.bench.processes import (
    ALIKE,
    Nursery,
    NurseryGone,
    Worker,
    environment,
    private_home,
    run_fenced,
    run_trusted,
)
from refine_agent.bench.profiles import Profiler
from refine_agent.builder.records import (
    Artifact,
    BuilderFault,
    BuildRequest,
    Flavour,
    Rejected,
)
from refine_agent.judge import orders
from refine_agent.judge.layers import ALL_LAYERS
from refine_agent.judge.seats import DEADLINES, Deadlines
from refine_agent.loop import BenchFault, Quiet, aside
from refine_agent.records import Crashed, Disqualified, Passed, Phase, Setup, Share
from refine_agent.worker import fence

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from refine_agent.bench.processes import Child
    from refine_agent.bench.warden import Bounds
    from refine_agent.judge.settled import Settled
    from refine_agent.loop import Watch
    from refine_agent.profiling.records import Kernel, Page
    from refine_agent.records import AnyVerdict, Candidate, Options, Problem

R = TypeVar("R")
# Inductor precompiles its headers into the temporary folder, which is each worker's own: six
# seconds of every run, also where what it compiles lies in its cache.
NO_HEADERS = {"TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0"}
LEFT_A_COMPILER = Disqualified(
    rule="work goes on after the answer",
    evidence="a build that a call had asked for was still running when the call had returned: "
    "the compiler would work while others are timed; wait for it in the call",
)
# Waiting for another run to let go of the device is a line of the ledger from here on.
WORTH_A_LINE_S = 0.1


class LocalBench:
    """Builds, judges and profiles candidates for one problem on this machine."""

    def __init__(  # noqa: PLR0913 - one keyword for each thing a test may want smaller
        self,
        problem: Problem,
        options: Options,
        run_folder: Path,
        *,
        cache: Path | None = None,
        deadlines: Deadlines = DEADLINES,
        bounds: Bounds | None = None,
    ) -> None:
        self._problem = problem
        self._options = options
        self._run_folder = run_folder
        self._cache = cache or machine.cache_folder()
        self._deadlines = deadlines
        self.layers = ALL_LAYERS  # a test leaves one out, to show what it is for
        self._home = private_home()
        self._tickets = itertools.count(1)
        self._bounds = bounds
        self._nursery: Nursery | None = None
        self._line: Line | None = None
        self._settled: Settled | None = None
        self._starts = itertools.count(1)
        self._starting = threading.Lock()
        self._setup: Setup | None = None
        self._builds: dict[str, _Builds] = {}
        self._rebuilt: set[str] = set()  # with torch's own headers, while a model thought
        self._profiler: Profiler | None = None
        self._compiling: Worker | None = None  # the witness that torch.compile gets ready in
        self._not_seated: dict[str, str] = {}  # which baseline is not there, and why
        self._has_device = False
        self._watch: Watch = Quiet()
        self._doing = "start"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove what they left."""
        self._end_processes()
        machine.remove(self._home)

    def _end_processes(self) -> None:
        if self._profiler is not None:
            self._profiler.close()
        if self._line is not None:
            self._line.close()
        if self._nursery is not None:
            self._nursery.close()

    # --- setting up -----------------------------------------------------------------------------

    def measure(self, problem: Problem, watch: Watch) -> Setup:
        """Start the processes, examine the problem, seat the witnesses, time the baselines."""
        if self._setup is not None:
            return self._setup
        assert problem.digest == self._problem.digest  # noqa: S101 - one bench, one problem
        phases: list[Phase] = []
        with self._phase(phases, watch, "start"):
            device = self._start()
        # The shim and torch.compile's kernels are many seconds of a compiler where a cache is new.
        prepared = aside(self._prepare_builder) if machine.has_cores_to_spare() else None
        with self._phase(phases, watch, "problem"):
            settled = self._settled = self._open().settled
        machine.remember(self._cache, self._device_name, problem, settled)
        seated = aside(self._seat_witnesses)
        with self._phase(phases, watch, "toolchain"):
            (prepared or aside(self._prepare_builder)).result()
        with self._phase(phases, watch, "witnesses"):
            level = seated.result()
        with self._phase(phases, watch, "baseline"), self._device_to_itself():
            baseline = replace(
                self._ask(orders.Open(measure_baseline=True), None).baseline,
                why_not_compiled=self._not_seated.get("compiled"),
            )
        self._setup = Setup(
            environment=machine.environment_record(
                device, name=self._device_name, torch=settled.torch, fence=level
            ),
            fitness=settled.fitness,
            baseline=baseline,
            work=settled.work,
            ceilings=machine.ceilings_text(settled.ceilings),
            peaks=settled.ceilings,
            bound_us=settled.bound_us,
            floor_us=settled.floor_us,
            phases=tuple(phases),
        )
        self._profiler = Profiler(self, settled)
        self._profiler.start_ahead()
        return self._setup

    def _start(self) -> str:
        visible = machine.visible_device(self._options.device)
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible
        home = self._home / f"start{next(self._starts)}"
        home.mkdir(mode=0o711)
        self._line = Line(home / "judge.out")
        self._nursery = Nursery(
            home,
            environment_of_children=environment(**ALIKE),
            bounds=self._bounds,
            lender=self._line.pid,
        )
        self._nursery.wait_until_born()
        self._device = machine.device_of(self._options.device, sees_cuda=self._nursery.sees_cuda)
        self._device_name = machine.device_name(self._device)
        self._device_identity = machine.device_identity(self._device)
        # On few cores the problem's examination would take three times as long, where there is one.
        known = machine.known(self._cache, self._device_name, self._problem)
        idle = known.fitness is not None and known.ceilings is not None
        ahead = "compiled" in self._roles() and (idle or machine.has_cores_to_spare())
        warm = fence.Warm("compiler", self._device)
        self._compiling = self._spawn_witness(warm=warm) if ahead else None
        return self._device

    @property
    def kind(self) -> Literal["cpu", "cuda"]:
        """Return "cpu" or "cuda"."""
        return "cuda" if self._device.startswith("cuda") else "cpu"

    def _prepare_builder(self) -> None:
        try:
            builder.prepare(run=run_trusted, cache=self._cache, device=self.kind)
        except BuilderFault as why:
            raise BenchFault(str(why)) from why

    def _open(self) -> orders.Opened:
        known = machine.known(self._cache, self._device_name, self._problem)
        order = orders.Open(source=self._problem.source, device=self._device, known=known)
        with self._device_to_itself():
            opened: orders.Opened = self._ask(order, None)
        return opened

    def _roles(self) -> list[str]:
        roles = ["null", "eager"]
        if self._options.compile_baseline:
            roles.append("compiled")
        if self._options.autotune_baseline:
            roles.append("autotuned")
        return [role for role in roles if role not in self._not_seated]

    def _seat_witnesses(self) -> str | None:
        """Seat them all; return the fence that their processes reached."""
        level = None
        for role in self._roles():
            level = self._seat(role) or level
            self._must_be_fenced(level)
        return level

    def _seat(self, role: Any) -> str | None:  # noqa: ANN401 - a literal of orders.Seat
        ahead = self._compiling if role == "compiled" else None
        worker = ahead or self._spawn_witness()
        order = orders.Seat(
            ticket=next(self._tickets), role=role, source=self._problem.source, pid=worker.pid
        )
        try:
            with self._device_to_itself():
                seated: orders.Seated = self._ask(order, worker.orders)
        except (NoRoom, JudgeGone):
            raise  # no baseline is left out because a machine is full, or a process of ours ended
        except BenchFault as why:
            if role not in ("compiled", "autotuned"):
                raise
            if self._setup is not None:  # every speedup so far is over it too
                raise BenchFault(
                    f"torch.compile ran the reference before, and does not any more ({why}); "
                    "resume the run"
                ) from why
            self._not_seated[role] = f"it could not run the reference ({why})"
            self._end(worker)
            return None
        return seated.fence

    def _spawn_witness(self, *, warm: fence.Warm | None = None) -> Worker:
        inductor = self._inductor_cache()
        return self._spawn(
            trusted=True,
            writable=[inductor],
            warm=warm,
            TORCHINDUCTOR_CACHE_DIR=inductor,
            **NO_HEADERS,
        )

    def _must_be_fenced(self, level: str | None) -> None:
        """Hold what a worker of ours reached against what the user asked for, before any guest."""
        if self._options.require_sandbox and not fence.is_full(level):
            raise BenchFault(
                f"the full fence cannot be closed here (reached: {level or 'none'}), and "
                "--require-sandbox was given; use Linux 6.12 or later with Landlock enabled, or "
                "leave the option out"
            )

    def _inductor_cache(self) -> str:
        folder = self._cache / "inductor"
        folder.mkdir(parents=True, exist_ok=True)
        machine.give_to_witnesses(folder)
        return str(folder)

    # --- the loop's requests --------------------------------------------------------------------

    def build(self, candidate: Candidate, watch: Watch) -> AnyVerdict | None:
        """Run the candidate's import and construction far from the device, so that it is built."""
        _ = watch
        builds = self._builds.setdefault(candidate.digest, _Builds())
        return self._again_if_gone(lambda: self._capture(candidate, builds, "light"))

    def judge(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Try the candidate in a fresh worker against the seated witnesses."""
        self._begin(watch, "judge")
        builds = self._builds.setdefault(candidate.digest, _Builds())
        verdict = self._again_if_gone(lambda: self._try(candidate, builds, "light"))
        return self._sanitized(candidate, verdict) if isinstance(verdict, Crashed) else verdict

    def _sanitized(self, candidate: Candidate, verdict: Crashed | Passed) -> AnyVerdict:
        """Say what compute-sanitizer saw: of a crash for its author, of a keeper for everybody."""
        checks = sanitizer.of(verdict)
        if self.kind != "cuda" or not self._options.sanitize or not checks:
            return verdict
        tool = sanitizer.available()
        if tool is None:
            absent = [sanitizer.Report(check=check, why_not=sanitizer.ABSENT) for check in checks]
            return sanitizer.told(verdict, absent)
        began = time.monotonic()
        tools = sanitizer.Sanitizer(self, tool)
        reports = self._again_if_gone(lambda: tools.reports(candidate, checks))
        took = Phase(name="sanitizer", seconds=time.monotonic() - began)
        return replace(
            sanitizer.told(verdict, reports, source=candidate.source),
            phases=(*verdict.phases, took),
        )

    def seal(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Rebuild with torch's own headers, then try in a fresh process under fresh seeds."""
        self._begin(watch, "seal")
        builds = _Builds()
        verdict = self._again_if_gone(
            lambda: (
                self._capture(candidate, builds, "stock") or self._try(candidate, builds, "stock")
            )
        )
        return self._sanitized(candidate, verdict) if isinstance(verdict, Passed) else verdict

    def meanwhile(self, candidate: Candidate) -> contextlib.AbstractContextManager[object]:
        """Rebuild the candidate as a seal will, for as long as the block lasts and nobody waits."""
        if candidate.digest in self._rebuilt:
            return contextlib.nullcontext()

        def rebuild(worker: Worker) -> None:
            if self._capture(candidate, _Builds(), "stock", worker=worker) is None:
                self._rebuilt.add(candidate.digest)

        assert self._nursery is not None  # noqa: S101 - measure() comes first
        return meanwhile(self._spawn, rebuild, self._nursery.end)

    def _capture(
        self,
        candidate: Candidate,
        builds: _Builds,
        flavour: Flavour,
        *,
        worker: Worker | None = None,
    ) -> AnyVerdict | None:
        """Build what importing and constructing the candidate asks for; nobody holds the device.

        A worker that is given is asked for no trial.
        """
        began = time.monotonic()
        builds.trial_of = candidate.source if worker is None else None
        worker = worker or self._spawn()
        serving = self._serve_builds(worker, builds, flavour)
        order = orders.Capture(
            ticket=next(self._tickets), source=candidate.source, deadlines=self._deadlines
        )
        try:
            verdict: AnyVerdict | None = self._ask(order, worker.orders).verdict
        finally:
            builds.trial_of = None
            self._end(worker)
            serving.join(1.0)
        builds.seconds = time.monotonic() - began
        builds.raise_fault()
        if verdict is None:
            return None
        verdict = self._explained(verdict, worker, builds)
        return replace(verdict, phases=(builds.phase,))

    def _try(self, candidate: Candidate, builds: _Builds, flavour: Flavour) -> AnyVerdict:
        sealed = flavour == "stock"
        worker = self._spawn()
        builds.left_running = False
        serving = self._serve_builds(worker, builds, flavour)
        order = orders.Try(
            ticket=next(self._tickets),
            source=candidate.source,
            pid=worker.pid,
            uid=worker.own_uid,
            sealed=sealed,
            layers=self.layers,
            deadlines=self._deadlines,
        )
        queued = time.monotonic()
        with self._device_until_ended(worker, serving):
            queued = time.monotonic() - queued
            answer = self._ask(order, worker.orders)
        builds.raise_fault()
        verdict = self._explained(answer.verdict, worker, builds)
        if builds.left_running and isinstance(verdict, Passed):
            verdict = replace(LEFT_A_COMPILER, fence=verdict.fence, phases=verdict.phases)
        waits = (Phase(name="wait for device", seconds=queued),) if queued > WORTH_A_LINE_S else ()
        verdict = replace(verdict, phases=(builds.phase, *waits, *verdict.phases))
        if isinstance(verdict, Passed):
            began = time.monotonic()
            shares = self._shares(candidate, verdict)
            traced = Phase(name="trace", seconds=time.monotonic() - began)
            passed = replace(
                verdict,
                phases=(*verdict.phases, traced),
                kernels=self._kernels(candidate),
                flavour=builds.flavour,
                builds=tuple(artifact.digest for artifact in builds.artifacts),
            )
            return self._attributed(passed, shares, candidate)
        return verdict

    def _attributed(
        self, passed: Passed, shares: tuple[Share, ...], candidate: Candidate
    ) -> AnyVerdict:
        """Say whose work it was; whether that matters is the user's decision."""
        if not self.layers.whose:
            return passed
        refusal = origins.unless_authored(shares) if self._options.authored_only else None
        if refusal is not None:
            return replace(refusal, phases=passed.phases, fence=passed.fence)
        doubts = origins.doubts(shares, candidate.source)
        return replace(passed, shares=shares, suspicions=(*passed.suspicions, *doubts))

    def _kernels(self, candidate: Candidate) -> tuple[Kernel, ...]:
        assert self._profiler is not None  # noqa: S101 - measure() comes first
        return self._profiler.kernels(candidate)

    def _shares(self, candidate: Candidate, verdict: Passed) -> tuple[Share, ...]:
        """Say whose kernels the time went to; nothing where torch.profiler would not tell."""
        assert self._profiler is not None  # noqa: S101 - measure() comes first
        seen = self._profiler.traced(candidate)
        if seen is None:
            return ()
        call_us = None
        if self.kind == "cpu":
            # The one with less of a busy machine's noise: that would count as the candidate's work.
            call_us = min(verdict.timing.median_us, seen.wall_seconds * 1e6)
        return origins.shares(seen.rows, candidate.source, call_us=call_us)

    def profile(self, candidate: Candidate, verdict: Passed, watch: Watch) -> Page | None:
        """Say where the candidate's time goes, on the highest rung of the ladder that holds."""
        self._begin(watch, "profile")
        if self._profiler is None or self._options.profile == "off":
            return None
        return self._again_if_gone(lambda: self._page(candidate, verdict))

    def _page(self, candidate: Candidate, verdict: Passed) -> Page:
        assert self._profiler is not None  # noqa: S101 - measure() comes first
        return self._profiler.page(candidate, verdict)

    # --- what the profiler needs ----------------------------------------------------------------

    @property
    def options(self) -> Options:
        """How the run was asked for."""
        return self._options

    @property
    def home(self) -> Path:
        """The private folder of this run's processes."""
        return self._home

    @property
    def cache(self) -> Path:
        """The shared artifact cache."""
        return self._cache

    @property
    def device(self) -> str:
        """The device, as torch names it."""
        return self._device

    @property
    def device_name(self) -> str:
        """The device's own name."""
        return self._device_name

    def artifacts_of(self, candidate: Candidate) -> tuple[Artifact, ...]:
        """Return what was built for the candidate."""
        builds = self._builds.get(candidate.digest)
        return tuple(builds.artifacts) if builds is not None else ()

    def spawn_tracer(self) -> Worker:
        """Fork a worker that has torch.profiler's machinery started before it is given anything."""
        return self._spawn(warm=fence.Warm("profiler", self._device))

    def trace(self, candidate: Candidate, worker: Worker) -> wire.Traced | None:
        """Have the judge drive a worker through a call under torch.profiler."""
        built = self._builds.setdefault(candidate.digest, _Builds())
        serving = self._serve_builds(worker, built, "light")
        order = orders.Trace(ticket=next(self._tickets), source=candidate.source)
        with self._device_until_ended(worker, serving):
            try:
                seen: wire.Traced = self._ask(order, worker.orders).seen
            except BenchFault:
                return None  # what passed its trial and fails under a profiler has no trace
        return seen

    def end(self, worker: Worker) -> None:
        """End a worker that is not needed any more."""
        self._end(worker)

    def call_once(self, candidate: Candidate, child: Child, builds: wire.Channel) -> None:
        """Have the judge drive a worker that runs under a profiler through one named call."""
        built = self._builds.setdefault(candidate.digest, _Builds())
        threading.Thread(
            target=_answer_builds, args=(self, builds, built, "light"), daemon=True
        ).start()
        order = orders.CallOnce(
            ticket=next(self._tickets), source=candidate.source, role="candidate"
        )
        with self._device_to_itself():
            self._ask(order, child.sock)

    def _begin(self, watch: Watch, phase: str) -> None:
        self._watch, self._doing = watch, phase
        watch.phase(phase)

    @contextmanager
    def _phase(self, phases: list[Phase], watch: Watch, name: str) -> Iterator[None]:
        self._begin(watch, name)
        began = time.monotonic()
        yield
        phases.append(Phase(name=name, seconds=time.monotonic() - began))

    @contextmanager
    def _device_to_itself(self) -> Iterator[None]:
        """Keep every other run from the device; what this one builds meanwhile need not wait."""
        watch, waited = self._watch, threading.Event()

        def tell() -> None:
            waited.set()
            watch.phase("wait")

        with machine.device_lock(self._device_identity, on_wait=tell):
            if waited.is_set():
                watch.phase(self._doing)
            self._has_device = True
            try:
                yield
            finally:
                self._has_device = False

    @contextmanager
    def _device_until_ended(self, worker: Worker, serving: threading.Thread) -> Iterator[None]:
        """Have the device until a worker is gone, and what is built for it.

        A candidate that ignores its farewell would use the cores of another run's trial.
        """

        def end() -> None:
            self._end(worker)
            serving.join(1.0)

        try:
            with self._device_to_itself():
                try:
                    yield
                finally:
                    end()
        finally:
            end()  # also where the wait for the device was interrupted

    # --- workers --------------------------------------------------------------------------------

    def _spawn(
        self,
        *,
        trusted: bool = False,
        writable: Sequence[str] = (),
        **extra: Any,  # noqa: ANN401 - handed on
    ) -> Worker:
        assert self._nursery is not None  # noqa: S101 - measure() comes first
        return self._nursery.spawn(
            trusted=trusted,
            fenced=self.layers.fence,
            readable=[str(self._cache)],
            writable=writable,
            **extra,
        )

    def _end(self, worker: Worker) -> None:
        assert self._nursery is not None  # noqa: S101 - measure() comes first
        # A worker that died by itself is reaped at once; its status says more than the kill would.
        worker.ended.wait(0.2)
        self._nursery.end(worker)

    def _explained(self, verdict: AnyVerdict, worker: Worker, builds: _Builds) -> AnyVerdict:
        return endings.explain(
            verdict,
            status=worker.status,
            output=worker.output(),
            rejected=builds.rejected,
            excess=worker.excess,
        )

    def _serve_builds(self, worker: Worker, builds: _Builds, flavour: Any) -> threading.Thread:  # noqa: ANN401
        def abandoned() -> bool:
            builds.left_running |= worker.is_stopped
            return builds.left_running or worker.ended.is_set()

        thread = threading.Thread(
            target=_answer_builds,
            args=(self, worker.builds, builds, flavour, abandoned),
            daemon=True,
        )
        thread.start()
        return thread

    def build_request(
        self,
        request: BuildRequest,
        flavour: Any,  # noqa: ANN401 - a literal of builder.records
        *,
        trial_of: str | None = None,
        abandoned: Callable[[], bool] | None = None,
    ) -> Artifact | Rejected:
        """Compile one request with the trusted builder; meanwhile, the judge prepares a trial.

        A compiler that nobody waits for any more is ended: others are being timed.
        """
        run = partial(run_fenced if self.layers.walls else run_trusted, abandoned=abandoned)
        preparing = self._preparing(trial_of, sealed=flavour == "stock")
        with contextlib.nullcontext() if self._has_device else preparing:
            return builder.build(
                request, run=run, cache=self._cache, device=self.kind, flavour=flavour
            )

    @contextmanager
    def _preparing(self, trial_of: str | None, *, sealed: bool) -> Iterator[None]:
        """Keep timings off few cores, and have a source's questions prepared on what is idle."""
        assert self._line is not None  # noqa: S101 - measure() comes first
        with machine.build_lock():
            if trial_of is not None:
                self._line.tell(orders.Prepare(source=trial_of, sealed=sealed))
            try:
                yield
            finally:
                self._line.tell(orders.Rest())

    # --- the judge ------------------------------------------------------------------------------

    def _ask(self, order: Any, worker: socket.socket | None) -> Any:  # noqa: ANN401 - messages of orders
        assert self._line is not None  # noqa: S101 - measure() comes first
        return self._line.ask(order, worker)

    def _again_if_gone(self, attempt: Callable[[], R]) -> R:
        """Make an attempt; if judge or nursery die under it, start both anew and make it once more.

        A second death is nobody's accident: it is raised, and the run can be resumed.
        """
        line = self._line
        try:
            return attempt()
        except (JudgeGone, NurseryGone):
            self._start_anew(instead_of=line)
            return attempt()

    def _start_anew(self, *, instead_of: Line | None) -> None:
        with self._starting:
            if self._line is not instead_of:
                return  # another thread was faster
            assert self._settled is not None  # noqa: S101 - measure() comes first
            with contextlib.suppress(BenchFault):
                self._end_processes()
            try:
                self._start()
                self._open()
                self._seat_witnesses()
            except BaseException:
                if self._line is not None:
                    self._line.close()  # whoever asks next is not judged by half a house
                raise
            self._profiler = Profiler(self, self._settled)
            self._profiler.start_ahead()


class _Builds:
    """What was built, and refused, for one candidate."""

    def __init__(self) -> None:
        self.artifacts: list[Artifact] = []
        self.rejected: Rejected | None = None
        self.fault: str | None = None
        self.seconds: float | None = None
        self.trial_of: str | None = None  # the source, while it is built to be tried
        self.left_running = False  # it was not waited for: its worker's call had returned

    def raise_fault(self) -> None:
        """Raise what kept the machine from building: no candidate answers for that."""
        fault, self.fault = self.fault, None
        if fault is not None:
            raise BenchFault(fault)

    @property
    def phase(self) -> Phase:
        """Return what building took, as a line of the ledger."""
        return Phase(name="build", seconds=self.seconds or 0.0)

    @property
    def flavour(self) -> Any:  # noqa: ANN401 - a literal of records.Passed
        """Return how the candidate's extensions were built; "python" when it built none."""
        flavours = {artifact.flavour for artifact in self.artifacts}
        return "stock" if "stock" in flavours else "light" if flavours else "python"


def _answer_builds(
    bench: LocalBench,
    channel: wire.Channel,
    builds: _Builds,
    flavour: Any,  # noqa: ANN401 - a literal of builder.records
    abandoned: Callable[[], bool] | None = None,
) -> None:
    """Answer a worker's requests to build until it closes its channel."""
    while True:
        try:
            asked = channel.receive()
            if not isinstance(asked, wire.BuildAsked):
                return
            answer = _built(bench, asked, builds, flavour, abandoned)
            channel.send(answer)
        except (wire.Broken, OSError, ValueError):
            return


def _built(
    bench: LocalBench,
    asked: wire.BuildAsked,
    builds: _Builds,
    flavour: Any,  # noqa: ANN401 - a literal of builder.records
    abandoned: Callable[[], bool] | None,
) -> wire.Wire:
    try:
        request = msgspec.json.decode(asked.request, type=BuildRequest)
        answer = bench.build_request(
            request, flavour, trial_of=builds.trial_of, abandoned=abandoned
        )
    except (msgspec.DecodeError, ValueError, RecursionError) as why:
        answer = Rejected(
            log=f"the build request is malformed: {why}", seconds=0.0, flavour="light"
        )
    except (BuilderFault, OSError) as why:
        builds.fault = f"the machine cannot build: {why}"
        answer = Rejected(log=builds.fault, seconds=0.0, flavour="light")
    if isinstance(answer, Artifact):
        builds.artifacts = [*[a for a in builds.artifacts if a.digest != answer.digest], answer]
    else:
        builds.rejected = answer
    return wire.BuildAnswered(ok=isinstance(answer, Artifact), answer=msgspec.json.encode(answer))
