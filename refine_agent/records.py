"""The nouns: what a run is made of, as frozen records that travel to and from JSON.

Everything here is free of torch, clocks and files; how the records are written down and read
back is the transcript's business, and how they come about is the bench's and the author's.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Literal, Protocol, assert_never

import msgspec

# Records that travel inside an event name a class that must be importable at run time.
from refine_agent.profiling.records import (  # noqa: TC001
    Ceilings,
    Grade,
    Kernel,
    Page,
    Prediction,
    Work,
)


class Printer(Protocol):
    """What IPython hands to ``_repr_pretty_``."""

    def text(self, words: str) -> None:
        """Print words."""


def digest_of(text: str) -> str:
    """Return the first 16 hex digits of the SHA-256 of ``text`` in UTF-8: a content's name."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A frozen record; fields that keep their default are left out of the JSON.

    msgspec does not inherit ``kw_only``, so every record repeats it.
    """


# --- what is asked, and by whom it is answered --------------------------------------------------


class Message(Record, frozen=True, kw_only=True):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class Prompt(Record, frozen=True, kw_only=True):
    """What the author is asked: stable text first, so that a provider's prompt cache can hit.

    ``shape`` is the digest of the prompt with every measured number masked. Two runs of the same
    session on two machines have equal shapes, and a recording is replayed by comparing them.
    """

    messages: tuple[Message, ...]
    digest: str
    shape: str


class Usage(Record, frozen=True, kw_only=True):
    """Tokens as the provider counted them; ``None`` where it did not say."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


class Reply(Record, frozen=True, kw_only=True):
    """One answer to one prompt, whoever gave it."""

    text: str
    model: str
    answers: str  # digest of the prompt this answers
    finish_reason: str | None = None
    reasoning: str | None = None
    usage: Usage = Usage()
    cost_usd: float | None = None
    seconds: float = 0.0
    thrown_away: int = 0  # attempts at this answer that were discarded before it
    note: str | None = None  # what the author had to do to get it: "fallback model x", "diverges"


# Whoever writes kernels: the model that the loop asks, the person beside it, or a coding agent
# outside that submits its own.
AuthorKind = Literal["model", "engineer", "agent"]


class Candidate(Record, frozen=True, kw_only=True):
    """A module (``ModelNew``) that somebody, person or machine, believes is faster."""

    source: str
    author: AuthorKind = "model"
    parent: int | None = None  # the attempt whose kernel this one revises
    idea: str | None = None
    prediction: Prediction | None = None

    @property
    def digest(self) -> str:
        """The content's name; two authors writing the same text wrote the same candidate."""
        return digest_of(self.source)


# --- what was measured --------------------------------------------------------------------------


class Timing(Record, frozen=True, kw_only=True):
    """A median with its 95 % bootstrap interval, in microseconds per call."""

    median_us: float
    low_us: float
    high_us: float
    samples: int


class Ratio(Record, frozen=True, kw_only=True):
    """How many times faster, with its 95 % interval over interleaved blocks."""

    value: float
    low: float
    high: float


class Suspicion(Record, frozen=True, kw_only=True):
    """Why a number should not be believed yet, with the evidence a person can check."""

    kind: str
    evidence: str


class Phase(Record, frozen=True, kw_only=True):
    """Seconds one phase took on the wall."""

    name: str
    seconds: float


class Share(Record, frozen=True, kw_only=True):
    """Part of the device time spent in one class of kernels."""

    origin: Literal["authored", "library", "compiler", "unknown"]
    share_pct: float
    example: str | None = None


class Sanitized(Record, frozen=True, kw_only=True):
    """What one tool of compute-sanitizer came to, on one call."""

    check: str  # "memcheck"
    errors: int | None  # ``None``: it did not look, or not to the end
    why_not: str | None = None

    @property
    def text(self) -> str:
        """Return it in a few words."""
        if self.errors is None:
            return f"{self.check} says nothing: {self.why_not or 'its report was cut short'}"
        return f"{self.check} {f'{self.errors:,} errors' if self.errors else 'clean'}"


class Checks(Record, frozen=True, kw_only=True):
    """What a candidate had to get right before anybody looked at its time."""

    cases: int
    calls: int
    quickly: int = 0  # of them, held against the reference alone, well within any limits
    worst_case: str
    worst_error: float  # norm-wise, against the fp64 reference, at the worst case of the others
    allowed_error: float

    @property
    def extent(self) -> str:
        """Return how much was asked, and how much of it was looked at only quickly."""
        quickly = f" ({self.quickly:,} at a quick look)" if self.quickly else ""
        return f"{self.calls:,} calls{quickly}"


# --- verdicts: exactly one per candidate ---------------------------------------------------------


class Verdict(Record, frozen=True, kw_only=True, tag_field="verdict"):
    """What the judge found. Only ``Passed`` has a speedup."""

    phases: tuple[Phase, ...] = ()
    fence: str | None = None  # the isolation level the candidate ran under


class Unreadable(Verdict, frozen=True, kw_only=True, tag="Unreadable"):
    """The reply held no candidate."""

    reason: str


class BuildFailed(Verdict, frozen=True, kw_only=True, tag="BuildFailed"):
    """The compiler refused the sources; ``log`` is its own text."""

    log: str


class Crashed(Verdict, frozen=True, kw_only=True, tag="Crashed"):
    """The candidate raised, died or broke the protocol."""

    during: str
    reason: str
    log: str = ""


class TimedOut(Verdict, frozen=True, kw_only=True, tag="TimedOut"):
    """The candidate was still running when its deadline came."""

    during: str
    seconds: float


class Mismatch(Verdict, frozen=True, kw_only=True, tag="Mismatch"):
    """The outputs differ from the reference by more than the reference's own error allows."""

    case: str
    reason: str
    error: float | None = None
    allowed: float | None = None
    where: str | None = None  # the worst element: index, got, wanted
    map: str | None = None  # error by tile, as a small picture in text


class Disqualified(Verdict, frozen=True, kw_only=True, tag="Disqualified"):
    """The outputs may be right, but the way they came about breaks a rule."""

    rule: str
    evidence: str


# A call alone takes no less of the device than one among others, but for what both are out.
SINGLE_AT_LEAST = 0.9


class Passed(Verdict, frozen=True, kw_only=True, tag="Passed"):
    """Right, and timed next to the baselines in the same run."""

    timing: Timing  # device time per call, cold cache
    judge_clock: Timing  # the same calls on the judge's own clock, less a null candidate
    eager: Timing
    compiled: Timing | None
    speedup: Ratio  # against the faster of eager and compiled
    vs_eager: Ratio
    vs_compiled: Ratio | None
    checks: Checks
    call: Timing | None = None  # one call at a time, launch latency included
    autotuned: Timing | None = None  # torch.compile, mode max-autotune, where it was asked for
    vs_autotuned: Ratio | None = None
    suspicions: tuple[Suspicion, ...] = ()
    shares: tuple[Share, ...] = ()
    kernels: tuple[Kernel, ...] = ()  # by time, from timeline and compiler; no counters
    flavour: Literal["light", "stock", "python"] = "python"
    builds: tuple[str, ...] = ()  # digests of the artifacts that ran
    sealed: bool = False  # survived the stock rebuild in a fresh process with a fresh seed
    sanitized: tuple[Sanitized, ...] = ()  # where a result was sealed on a GPU

    @property
    def single(self) -> Timing | None:
        """``call``, unless it is well below the device's time: then too much was taken off it."""
        if self.call is None or self.call.median_us < SINGLE_AT_LEAST * self.timing.median_us:
            return None
        return self.call


AnyVerdict = Unreadable | BuildFailed | Crashed | TimedOut | Mismatch | Disqualified | Passed


def headline(verdict: AnyVerdict) -> str:  # noqa: PLR0911 - one line per verdict is the point
    """Return the verdict in a few words, for a table row or a line of history."""
    match verdict:
        case Passed():
            text = f"{verdict.speedup.value:.2f}x ({verdict.timing.median_us:,.1f} µs)"
            return f"{text}, doubtful" if verdict.suspicions else text
        case Mismatch():
            return f"wrong: {verdict.reason}"
        case BuildFailed():
            return "does not build"
        case Crashed():
            return f"crashed during {verdict.during}: {verdict.reason}"
        case TimedOut():
            return f"timed out during {verdict.during} after {verdict.seconds:.0f} s"
        case Disqualified():
            return f"disqualified: {verdict.rule}"
        case Unreadable():
            return f"unreadable: {verdict.reason}"
        case _:
            assert_never(verdict)


# --- the problem and the machine ----------------------------------------------------------------


class Problem(Record, frozen=True, kw_only=True):
    """A KernelBench-style file: ``Model``, ``get_inputs``, ``get_init_inputs``."""

    name: str
    source: str

    @property
    def digest(self) -> str:
        """The content's name."""
        return digest_of(self.source)


class Fitness(Record, frozen=True, kw_only=True):
    """Whether a problem can tell a right answer from an impostor, found out before anyone plays."""

    rejected: tuple[str, ...]  # impostors the checker turned away
    accepted: tuple[str, ...] = ()  # impostors that passed: why no speedup is claimed here
    cases: tuple[str, ...] = ()  # input distributions in use
    dropped: tuple[str, ...] = ()  # distributions on which the reference itself is not sound
    blind_to: tuple[str, ...] = ()  # impostors that nominal inputs alone would let through
    allowed_error: float | None = None
    inputs: tuple[str, ...] = ()  # "float32[4096, 8192]"
    outputs: tuple[str, ...] = ()

    @property
    def weak(self) -> bool:
        """Whether an impostor passes, so that no speedup on this problem means anything."""
        return bool(self.accepted)


class Environment(Record, frozen=True, kw_only=True):
    """Where the numbers were taken."""

    device: str
    device_kind: Literal["cpu", "cuda"]
    driver: str | None = None
    torch: str | None = None
    compiler: str | None = None
    python: str | None = None
    ncu: str | None = None
    cores: int | None = None
    fence: str | None = None


class Baseline(Record, frozen=True, kw_only=True):
    """What the candidate is held against, measured before the first turn."""

    eager: Timing
    compiled: Timing | None
    why_not_compiled: str | None = None


class Setup(Record, frozen=True, kw_only=True):
    """What the bench found out about the problem and the machine, once per run."""

    environment: Environment
    fitness: Fitness
    baseline: Baseline
    work: Work
    ceilings: tuple[str, ...] = ()  # rendered for the prompt: "measured copy 4.27 TB/s"
    peaks: Ceilings | None = None  # the same as numbers: the roofs of a roofline
    bound_us: float | None = None  # datasheet floor: faster is impossible
    floor_us: float | None = None  # floor at measured ceilings: faster is suspicious
    phases: tuple[Phase, ...] = ()


# --- what happened: one event per line of the transcript -----------------------------------------


class Event(Record, frozen=True, kw_only=True, tag_field="event"):
    """Something that happened, in order; ``at`` is seconds since the epoch."""

    at: float


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """A run begins; everything needed to take it up again elsewhere."""

    schema: int
    run: str
    problem: Problem
    model: str
    options: Options
    templates: dict[str, str]  # template name -> digest: prompts are source code
    version: str
    git_commit: str | None = None
    forked_from: str | None = None


class Measured(Event, frozen=True, kw_only=True, tag="measured"):
    """The bench has set up: machine, problem's fitness, baselines, floors."""

    setup: Setup


class Prompted(Event, frozen=True, kw_only=True, tag="prompted"):
    """A prompt was rendered and is about to be sent."""

    turn: int
    prompt: Prompt
    parent: int | None = None


class Replied(Event, frozen=True, kw_only=True, tag="replied"):
    """An answer arrived; from here on it is never asked for again."""

    turn: int
    attempt: int
    reply: Reply


class Offered(Event, frozen=True, kw_only=True, tag="offered"):
    """The engineer, or an agent outside, put a kernel of their own on the bench."""

    turn: int
    attempt: int
    source: str
    author: AuthorKind = "engineer"
    parent: int | None = None
    idea: str | None = None
    note: str | None = None  # the file in the inbox that it came in, if it did


class Judged(Event, frozen=True, kw_only=True, tag="judged"):
    """The verdict on one attempt; ``candidate`` is absent when the reply held none."""

    turn: int
    attempt: int
    verdict: AnyVerdict
    candidate: Candidate | None = None


class Profiled(Event, frozen=True, kw_only=True, tag="profiled"):
    """The page of one attempt, and what became of its prediction."""

    turn: int
    attempt: int
    page: Page
    grade: Grade | None = None
    seconds: float = 0.0


class Sealed(Event, frozen=True, kw_only=True, tag="sealed"):
    """The stock rebuild in a fresh process with a fresh seed: what is reported."""

    attempt: int
    verdict: AnyVerdict


class Hinted(Event, frozen=True, kw_only=True, tag="hinted"):
    """The engineer said something the next prompt carries."""

    text: str
    note: str | None = None  # the file in the inbox that it came in, if it did


class Vetoed(Event, frozen=True, kw_only=True, tag="vetoed"):
    """The engineer ruled an attempt out; it is no longer a parent or a winner."""

    attempt: int
    reason: str
    note: str | None = None  # the file in the inbox that it came in, if it did


class Moved(Event, frozen=True, kw_only=True, tag="moved"):
    """The next turn revises this attempt (``None``: the reference), whatever was best."""

    attempt: int | None
    reason: str = ""
    note: str | None = None  # the file in the inbox that it came in, if it did


class Changed(Event, frozen=True, kw_only=True, tag="changed"):
    """Model, target or budget was changed on the way."""

    options: Options
    model: str


class TurnClosed(Event, frozen=True, kw_only=True, tag="turn"):
    """A turn ended; its ledger sums to its wall time."""

    turn: int
    ledger: tuple[Phase, ...]
    seconds: float


class Stopped(Event, frozen=True, kw_only=True, tag="stopped"):
    """The run ended or paused, and why."""

    reason: str
    resumable: bool = True


class Resumed(Event, frozen=True, kw_only=True, tag="resumed"):
    """Somebody took the run up again, possibly on another machine."""

    environment: Environment | None = None


class Failed(Event, frozen=True, kw_only=True, tag="failed"):
    """The machine, not the candidate, was at fault; nothing is scored."""

    turn: int
    attempt: int | None
    fault: str


AnyEvent = (
    Started
    | Measured
    | Prompted
    | Replied
    | Offered
    | Judged
    | Profiled
    | Sealed
    | Hinted
    | Vetoed
    | Moved
    | Changed
    | TurnClosed
    | Stopped
    | Resumed
    | Failed
)


class Budget(Record, frozen=True, kw_only=True):
    """When to stop. ``None`` means no limit of that kind."""

    turns: int | None = 8  # answers bought; the engineer's own offers are free
    target: float | None = None  # speedup against the faster baseline
    usd: float | None = None
    minutes: float | None = None
    patience: int | None = None  # turns without a better kernel


class Options(Record, frozen=True, kw_only=True):
    """How a run was asked for."""

    budget: Budget = Budget()
    device: str | None = None  # "cpu", "cuda", "cuda:1"; None: cuda where there is one
    samples: int = 1
    api_base: str | None = None
    fallback_models: tuple[str, ...] = ()
    profile: Literal["auto", "ncu", "torch", "static", "off"] = "auto"
    temperature: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    context_tokens: int | None = None
    authored_only: bool = False
    require_sandbox: bool = False
    sanitize: bool = True  # compute-sanitizer on what crashes on a GPU, and before sealing
    compile_baseline: bool = True
    autotune_baseline: bool = False


# --- views: what a reader of the transcript sees -------------------------------------------------


class Attempt(Record, frozen=True, kw_only=True):
    """One reply or offer, and everything that became of it."""

    number: int
    turn: int
    author: AuthorKind
    reply: Reply | None = None
    candidate: Candidate | None = None
    verdict: AnyVerdict | None = None
    page: Page | None = None
    grade: Grade | None = None
    profile_seconds: float = 0.0
    sealed: AnyVerdict | None = None
    veto: str | None = None

    @property
    def speedup(self) -> float:
        """Times faster than the faster baseline; 0 when the attempt did not pass."""
        return self.passed.speedup.value if self.passed is not None else 0.0

    @property
    def at_least(self) -> float:
        """Times faster at least: the lower end of the 95 % interval; 0 when it did not pass."""
        return self.passed.speedup.low if self.passed is not None else 0.0

    @property
    def passed(self) -> Passed | None:
        """The passing verdict that counts: the sealed one where there is one."""
        final = self.sealed if self.sealed is not None else self.verdict
        return final if isinstance(final, Passed) and self.veto is None else None

    def _repr_html_(self) -> str:
        """Show the attempt as a notebook shows it."""
        from refine_agent import report  # noqa: PLC0415 - only notebooks need pictures

        return report.attempt_html(self)

    def _repr_pretty_(self, printer: Printer, _cycle: bool) -> None:  # noqa: FBT001 - IPython's
        """Print the attempt as a notebook prints it: a line, not every source and log."""
        final = self.sealed if self.sealed is not None else self.verdict
        said = headline(final) if final is not None else "not judged yet"
        printer.text(f"attempt {self.number} by the {self.author}: {said}")


class Turn(Record, frozen=True, kw_only=True):
    """One prompt with the attempts it led to, or one kernel that was offered."""

    number: int
    attempts: tuple[Attempt, ...]
    prompt: Prompt | None = None
    ledger: tuple[Phase, ...] = ()
    seconds: float | None = None
    fault: str | None = None

    def _repr_html_(self) -> str:
        """Show the turn as a notebook shows it."""
        from refine_agent import report  # noqa: PLC0415 - only notebooks need pictures

        return report.turn_html(self)

    def _repr_pretty_(self, printer: Printer, _cycle: bool) -> None:  # noqa: FBT001 - IPython's
        """Print the turn as a notebook prints it: a line, not every prompt and reply."""
        took = f", {self.seconds:.1f} s" if self.seconds is not None else ""
        tried = ", ".join(str(attempt.number) for attempt in self.attempts) or "none"
        printer.text(f"turn {self.number}: attempts {tried}{took}")
