"""A run as tools for a coding agent outside: submit a kernel, poll, read the same verdict and page.

Kernels go through the session like an engineer's and are shown as the agent's; what they are worth
is the bench's finding. No tool waits for it: a client gives up on a call after a minute, and an
evaluation may take longer.
"""

from __future__ import annotations

import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Literal

from refine_agent.legible import legible, phrase
from refine_agent.prompts import render_template
from refine_agent.prompts.quoting import fenced, said
from refine_agent.prompts.scene import NotMeasuredError, look, own_page
from refine_agent.records import Hinted, Judged, Offered, Passed, Sealed, headline
from refine_agent.session import Session, SessionError, difference
from refine_agent.transcript import EVENTS, Transcript, TranscriptError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from mcp.server import MCPServer

    from refine_agent.records import AnyEvent, Attempt, Options

State = Literal["waiting", "running", "done", "failed"]

MOST_WAITING = 16
MAX_SOURCE_CHARS = 400_000
MOST_LOST = 8
TEXT_CHARS = 24_000
HINT_CHARS = 4_000

INSTRUCTIONS = (
    "Refine a GPU or CPU kernel against a PyTorch reference. Call describe_problem first: it "
    "states the contract, the rules, the machine and what is to be beaten. Submit a whole Python "
    "file that defines ModelNew with evaluate_kernel, poll job_status until the job is done, read "
    "the verdict and the profile page in it, change the one thing that the page says costs most, "
    "and submit again. When satisfied call seal_best and poll it: only a sealed result may be "
    "reported."
)
HOW = (
    "\n# How to work here\n\n"
    "Submit the whole file with `evaluate_kernel` (say your idea in a sentence), then poll "
    "`job_status`. Evaluations run one after another, since timing shares the device with nobody. "
    "`read_page`, `compare`, `attempts` and `best` answer at once from the record of the run.\n"
)


# These travel to the client; the protocol's own library makes their schemas from dataclasses.


@dataclass(frozen=True)
class JobStatus:
    """How far a job is; once ``state`` is "done" or "failed", ``text`` says what came of it."""

    job: str
    kind: str
    state: State
    seconds: float
    text: str
    phase: str | None = None
    attempt: int | None = None
    verdict: str | None = None
    speedup: float | None = None


@dataclass(frozen=True)
class AttemptLine:
    """One attempt in a line; ``speedup`` is against the faster of eager and torch.compile."""

    attempt: int
    author: str
    verdict: str
    speedup: float | None
    median_us: float | None
    sealed: bool
    idea: str | None


class Job:
    """Something the bench does in its own time; what it comes to is read from the transcript."""

    def __init__(self, name: str, kind: str, attempt: int | None) -> None:
        self.name = name
        self.kind = kind
        self.attempt = attempt
        self.hints: tuple[str, ...] = ()  # what its answer tells of the engineer
        self.phase: str | None = None
        self.began = time.monotonic()
        self.ended: float | None = None
        self.future: Future[str] | None = None

    @property
    def state(self) -> State:
        """Where the job stands."""
        if self.future is None or not (self.future.running() or self.future.done()):
            return "waiting"
        if self.future.running():
            return "running"
        failed = self.future.cancelled() or self.future.exception() is not None
        return "failed" if failed else "done"

    @property
    def seconds(self) -> float:
        """Seconds since the job was submitted, until it ended."""
        return (self.ended or time.monotonic()) - self.began

    def outcome(self) -> str:
        """Return what a job that ended came to."""
        assert self.future is not None  # noqa: S101 - it ended, so it was submitted
        try:
            why = self.future.exception(timeout=0)
        except CancelledError:
            return "it was not begun: the session ended"
        if why is not None:
            return phrase(str(why) or type(why).__name__, chars=2000)
        return self.future.result(timeout=0)


class Workbench:
    """One session and the jobs that wait for it; a single thread takes them in turn."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._folder: Path = session.transcript.folder
        self._lock = Lock()
        self._jobs: dict[str, Job] = {}
        self._now: Job | None = None
        self.stopped: str | None = None  # why no kernel is judged any more
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="workbench")
        session.watch = self
        session.transcript.listeners.append(self._heard)

    # --- jobs -----------------------------------------------------------------------------------

    def submit(self, kind: str, work: Callable[[], str], *, attempt: int | None = None) -> Job:
        """Put work in the queue; raise ``SessionError`` when too much waits already."""
        with self._lock:
            waiting = sum(job.state == "waiting" for job in self._jobs.values())
            if waiting >= MOST_WAITING:
                raise SessionError(
                    f"{waiting} jobs wait already; poll job_status until some are done"
                )
            job = Job(f"{kind}-{len(self._jobs) + 1}", kind, attempt)
            self._jobs[job.name] = job
            job.future = self._thread.submit(self._work, job, work)
        return job

    def job(self, name: str) -> Job:
        """Return a job; raise ``SessionError`` if there is none of that name."""
        with self._lock:
            known = self._jobs.get(name)
            names = ", ".join(list(self._jobs)[-8:]) or "none yet"
        if known is None:
            raise SessionError(f"there is no job {phrase(name, chars=40)!r}; there are: {names}")
        return known

    def _work(self, job: Job, work: Callable[[], str]) -> str:
        self._now, job.began = job, time.monotonic()
        try:
            return work()
        finally:
            job.ended, self._now = time.monotonic(), None

    def close(self) -> None:
        """Let the running job end, forget those that wait, and close the session."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self.stopped is not None:
            self._session.save(self.stopped)
        self._session.close()

    # --- what jobs do, on the workbench's own thread --------------------------------------------

    def set_up(self) -> str:
        """Measure machine, problem and baselines, and finish a kernel left over by a kill."""
        self._session.measure()
        transcript = self._session.transcript
        left = transcript.open_turn
        if left is not None and transcript.prompt_of(left) is None and transcript.attempts_of(left):
            self._session.step()
            self._hear_the_engineer()
            return f"measured; turn {left}, which was cut short, is finished"
        self._hear_the_engineer()
        return "measured"

    def evaluate(self, source: str, idea: str | None, parent: int | None) -> str:
        """Judge and profile a kernel; return what the model inside would be told."""
        self._hear_the_engineer()
        self.require_going_on()
        self._tell_hints()
        start = self._session.transcript.parent
        known = parent if parent is not None else start.number if start is not None else None
        turn = self._session.offer(source, idea=idea, parent=known, author="agent")
        return self.told(turn.attempts[-1])

    def profile(self, attempt: int) -> str:
        """Return the page of an attempt, measured if nobody has yet."""
        self._hear_the_engineer()
        return legible(self._session.profile(attempt).text(), chars=TEXT_CHARS)

    def seal(self) -> str:
        """Seal the best kernel; return what may be reported."""
        self._hear_the_engineer()
        best = self._session.seal()
        if best is None:
            return why_no_best(self.transcript())
        if self._now is not None:
            self._now.attempt = best.number  # sealed before, it brings no event
        return self.told(best)

    def _hear_the_engineer(self) -> None:
        """Do what lies in the inbox; a kernel offered there is not the attempt of the job."""
        job = self._now
        attempt = job.attempt if job is not None else None
        try:
            self._session.take_up()
        finally:
            if job is not None:
                job.attempt = attempt
        # The session forgets it once it is saved, as it is by a fault; the client may go on.
        self.stopped = self._session.stop_requested or self.stopped

    def require_going_on(self) -> None:
        """Raise ``SessionError`` once the engineer asked the run to stop."""
        if self.stopped is not None:
            raise SessionError(
                f"{self.stopped}: no further kernel is judged here; call seal_best, and report "
                "what it seals"
            )

    def _tell_hints(self) -> None:
        """Let the job answer for the hints so far: its kernel ends their being news."""
        if self._now is not None:
            self._now.hints = news(self.transcript())

    def told(self, attempt: Attempt) -> str:
        """Return the verdict and the page in the words of the next prompt."""
        text = render_template("verdict", look(self.transcript()), attempt=attempt)
        page = own_page(attempt)
        profile = f"\n{fenced(page.text(), 'profile')}\n" if page is not None else ""
        return legible(text + profile, chars=TEXT_CHARS)

    # --- looking, from any thread ---------------------------------------------------------------

    def transcript(self) -> Transcript:
        """Return the run as it lies on the disk, whatever the workbench is doing to it."""
        return Transcript.read(self._folder)

    def phase(self, name: str) -> None:
        """Note which phase the running job is in; the loop says so."""
        if self._now is not None:
            self._now.phase = name

    def text(self, piece: str) -> None:
        """Ignore streamed text: nobody asks a model here."""

    def _heard(self, event: AnyEvent) -> None:
        job = self._now
        if job is None:
            return
        match event:
            case Offered() | Judged():
                job.attempt = event.attempt
            case Sealed() if job.kind == "seal":  # a target seals others while a kernel is judged
                job.attempt = event.attempt
            case _:
                pass


def news(transcript: Transcript) -> tuple[str, ...]:
    """Return what the engineer said since a client last handed in a kernel, or a model answered."""
    events = transcript.events
    offers = [i for i, e in enumerate(events) if isinstance(e, Offered) and e.author == "agent"]
    since = events[offers[-1] + 1 if offers else 0 :]
    newer = {id(event) for event in since if isinstance(event, Hinted)}
    return tuple(hint.text for hint in transcript.hints if id(hint) in newer)


def why_no_best(transcript: Transcript) -> str:
    """Say why there is no best kernel: none passed, or what became of those that did."""
    lost = [_fate(a) for a in transcript.attempts if isinstance(a.verdict, Passed)]
    if not lost:
        return "No kernel has passed yet."
    return f"No kernel that passed is left: {'; '.join(lost[-MOST_LOST:])}."


def _fate(attempt: Attempt) -> str:
    if attempt.veto is not None:
        return f"attempt {attempt.number} was vetoed ({phrase(attempt.veto)})"
    found = phrase(headline(attempt.sealed)) if attempt.sealed is not None else "unknown"
    return f"attempt {attempt.number} did not survive its sealing ({found})"


def open_session(problem: Path, *, options: Options, runs: Path) -> Session:
    """Begin a run on a problem file, or take up a run's folder, for a client to work in.

    ``options`` are those of a run that begins; one that is taken up has its own.

    Raises:
        SessionError: the extra that speaks the protocol is not installed.
    """
    _require_extra()
    if (problem / EVENTS).is_file():
        return Session.open(problem)
    # Nobody is asked for answers: they come through the tools.
    return Session.start(problem, model="manual", options=options, runs=runs)


def serve(session: Session) -> None:
    """Serve a session over stdin and stdout until the client leaves; stdout is the protocol's.

    An evaluation under way when the client leaves is finished and recorded; killed in the middle,
    it is judged when the run is next served or resumed.
    """
    server(Workbench(session)).run("stdio")


def _require_extra() -> None:
    if find_spec("mcp") is None or find_spec("mcp.server") is None:
        raise SessionError(
            "the MCP server is an extra; install it with: pip install 'refine_agent[mcp]'"
        )


def server(bench: Workbench) -> MCPServer:
    """Return the server with its tools; each answers within a second."""
    from anyio import CancelScope, to_thread  # noqa: PLC0415 - comes with the extra
    from mcp.server import MCPServer  # noqa: PLC0415 - an extra, and 1.7 s to import

    tools = Tools(bench)

    @asynccontextmanager
    async def at_work(_: MCPServer) -> AsyncIterator[None]:
        # Within the server's life, because stdout is the protocol's exactly that long: what a
        # bench or a candidate prints before or after would reach the client.
        bench.submit("setup", bench.set_up)
        try:
            yield
        finally:
            with CancelScope(shield=True):
                await to_thread.run_sync(bench.close)

    made = MCPServer(
        "refine_agent", instructions=INSTRUCTIONS, log_level="WARNING", lifespan=at_work
    )
    for tool in (
        tools.describe_problem,
        tools.evaluate_kernel,
        tools.profile_kernel,
        tools.seal_best,
        tools.job_status,
        tools.best,
        tools.attempts,
        tools.compare,
        tools.read_page,
    ):
        made.tool()(_explained(tool))
    return made


class Tools:
    """What the client may call; the docstrings are what it reads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def describe_problem(self) -> str:
        """Describe the task: contract, rules, reference module, machine, what is to be beaten."""
        transcript = self._bench.transcript()
        try:
            brief = render_template("system", look(transcript)) + HOW
        except NotMeasuredError:
            setup = self._bench.job("setup-1")
            brief = (
                f"Machine and baselines are not measured yet: {_text(setup, setup.state)}\n\n"
                "The reference module:\n\n"
                f"```python\n{legible(transcript.problem.source)}\n```\n"
            )
        return self._engineer_said(news(transcript)) + brief

    def evaluate_kernel(self, source: str, idea: str = "", parent: int | None = None) -> JobStatus:
        """Submit a kernel: a whole Python file defining ModelNew. Returns a job to poll.

        It is built, checked against the reference, timed beside the baselines and profiled. `idea`
        is one sentence on the mechanism; `parent` is the attempt it revises (default: the best).
        """
        self._bench.require_going_on()
        if not source.strip():
            raise SessionError("the source is empty; send the whole Python file")
        if len(source) > MAX_SOURCE_CHARS:
            raise SessionError(
                f"the source has {len(source):,} characters; at most {MAX_SOURCE_CHARS:,} are read"
            )
        if "ModelNew" not in source:
            raise SessionError("the source does not define ModelNew; describe_problem says how")
        if parent is not None:
            self._bench.transcript().attempt(parent)
        stated = phrase(idea, chars=300) or None
        job = self._bench.submit("evaluate", lambda: self._bench.evaluate(source, stated, parent))
        return self._status(job.name)

    def profile_kernel(self, attempt: int) -> JobStatus:
        """Profile an attempt that passed, if it has no page yet. Returns a job to poll."""
        self._bench.transcript().attempt(attempt)
        work = lambda: self._bench.profile(attempt)  # noqa: E731 - it is the work that is queued
        return self._status(self._bench.submit("profile", work, attempt=attempt).name)

    def seal_best(self) -> JobStatus:
        """Rebuild the best kernel with torch's own headers and judge it afresh. Returns a job.

        Only a sealed result may be reported.
        """
        return self._status(self._bench.submit("seal", self._bench.seal).name)

    def job_status(self, job: str) -> JobStatus:
        """Say how far a job is; when it is done, `text` holds the verdict and the profile page.

        What the engineer beside you said stands before that.
        """
        return self._status(job)

    def best(self) -> str:
        """Return the best kernel so far: its verdict, whether it is sealed, and its source."""
        transcript = self._bench.transcript()
        found = transcript.best
        if found is None or found.candidate is None:
            return self._engineer_said(news(transcript)) + why_no_best(transcript)
        sealed = "sealed" if found.sealed is not None else "not sealed yet: call seal_best"
        return (
            f"{self._engineer_said(news(transcript))}{self._bench.told(found)}\nIt is {sealed}.\n\n"
            f"```python\n{legible(found.candidate.source)}\n```\n"
        )

    def attempts(self) -> list[AttemptLine]:
        """List every attempt with its verdict."""
        return [_line(attempt) for attempt in self._bench.transcript().attempts[-200:]]

    def compare(self, a: int, b: int) -> str:
        """Compare two attempts: verdicts, what changed in the profile, the difference in source."""
        return legible(str(difference(self._bench.transcript(), a, b)), chars=TEXT_CHARS)

    def read_page(self, attempt: int) -> str:
        """Return the profile page of an attempt."""
        page = self._bench.transcript().attempt(attempt).page
        if page is None:
            raise SessionError(
                f"attempt {attempt} has no profile page; call profile_kernel if it passed"
            )
        return legible(page.text(), chars=TEXT_CHARS)

    def _status(self, name: str) -> JobStatus:
        job, transcript = self._bench.job(name), self._bench.transcript()
        state = job.state
        attempt = _found(transcript, job.attempt)
        hints = tuple(dict.fromkeys((*job.hints, *news(transcript))))
        final = (attempt.sealed or attempt.verdict) if attempt is not None else None
        ended = state in {"done", "failed"}
        return JobStatus(
            job=job.name,
            kind=job.kind,
            state=state,
            seconds=round(job.seconds, 2),
            phase=job.phase if state == "running" else None,
            attempt=job.attempt,
            verdict=phrase(headline(final)) if ended and final is not None else None,
            speedup=round(attempt.speedup, 4) if ended and attempt and attempt.passed else None,
            text=self._engineer_said(hints) + _text(job, state),
        )

    def _engineer_said(self, hints: tuple[str, ...]) -> str:
        """Return the engineer's words for the client, and their wish to stop; empty without."""
        quoted = [said(legible(hint, chars=HINT_CHARS)) for hint in hints]
        if self._bench.stopped is not None:
            quoted.append(f"The run was {self._bench.stopped}: no further kernel is judged.")
        return "\n\n".join(["From the engineer at your side:", *quoted, ""]) if quoted else ""


def _found(transcript: Transcript, attempt: int | None) -> Attempt | None:
    known = {one.number: one for one in transcript.attempts}
    return known.get(attempt) if attempt is not None else None


def _text(job: Job, state: State) -> str:
    """Return what a job that ended came to, or what to do meanwhile."""
    if state in {"done", "failed"}:
        return job.outcome()
    if state == "waiting":
        return f"{job.name} waits for the jobs before it; poll job_status in a few seconds"
    doing = f" ({job.phase})" if job.phase else ""
    return f"{job.name} is running{doing}, {job.seconds:.1f} s so far; poll job_status"


def _line(attempt: Attempt) -> AttemptLine:
    final = attempt.sealed or attempt.verdict
    found = phrase(headline(final)) if final is not None else "not judged yet"
    vetoed = f"; vetoed: {phrase(attempt.veto)}" if attempt.veto is not None else ""
    idea = attempt.candidate.idea if attempt.candidate is not None else None
    return AttemptLine(
        attempt=attempt.number,
        author=attempt.author,
        verdict=found + vetoed,
        speedup=attempt.speedup or None,
        median_us=attempt.passed.timing.median_us if attempt.passed is not None else None,
        sealed=attempt.sealed is not None,
        idea=phrase(idea) if idea else None,
    )


def _explained(tool: Callable[..., object]) -> Callable[..., object]:
    """Turn our findings into errors that the client reads; others stay the server's own."""
    from mcp.server.mcpserver.exceptions import ToolError  # noqa: PLC0415 - an extra

    @wraps(tool)
    def call(*given: object, **named: object) -> object:
        try:
            return tool(*given, **named)
        except (SessionError, TranscriptError) as why:
            raise ToolError(str(why)) from None

    return call
