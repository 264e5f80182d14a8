"""What a report shows of a run, gathered and bounded: headline, facts, turns, attempts, pages.

Every text in here is legible but not yet escaped, which is the template's work; every number
comes from the transcript, and words for missing ones are chosen here.
"""
# Factors and gaps are written as people write them.
# ruff: noqa: RUF001

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from refine_agent import charts, rows
from refine_agent.charts.marks import Standing, standing
from refine_agent.charts.svg import number
from refine_agent.legible import legible, phrase
from refine_agent.listing import Change, Line, difference, listing
from refine_agent.profiling.metrics import BY_KEY
from refine_agent.records import (
    BuildFailed,
    Changed,
    Crashed,
    Disqualified,
    Failed,
    Hinted,
    Mismatch,
    Moved,
    Offered,
    Passed,
    Prompted,
    Record,
    Resumed,
    Stopped,
    TimedOut,
    Unreadable,
    Vetoed,
    headline,
)
from refine_agent.rows import outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refine_agent.profiling.records import Change as MetricChange
    from refine_agent.profiling.records import Finding, Grade, Metric, Page
    from refine_agent.records import (
        AnyEvent,
        AnyVerdict,
        Attempt,
        Prompt,
        Ratio,
        Setup,
        Timing,
        Turn,
    )
    from refine_agent.transcript import Transcript

WIDE, HALF, NARROW = 860, 410, 400
# The turns shown in full; a run of thousands is for frames, not for a page.
MOST_TURNS = 60
SHORTEST_SHOWN_SECONDS = 0.05
LOG_CHARS, SOURCE_CHARS, REPLY_CHARS = 8_000, 40_000, 24_000


class Fact(Record, frozen=True, kw_only=True):
    """A name and what is known by it."""

    name: str
    value: str


class Picture(Record, frozen=True, kw_only=True):
    """A chart in two widths; the page shows the one that fits."""

    title: str
    wide: str
    narrow: str | None = None
    caption: str = ""


Result = Literal["won", "level", "slower", "doubtful", "weak", "none"]


class Headline(Record, frozen=True, kw_only=True):
    """What came of the run, doubts first."""

    kind: Result
    figure: str
    sentence: str
    doubts: tuple[Fact, ...] = ()
    facts: tuple[Fact, ...] = ()


class TimingRow(Record, frozen=True, kw_only=True):
    """One timing of a verdict, in microseconds per call, with what it means for the ratio."""

    name: str
    median: str
    interval: str
    samples: str
    ratio: str = ""


class MetricRow(Record, frozen=True, kw_only=True):
    """One number of a page with its unit, its ceiling, and how near it is (0 to 100)."""

    key: str
    meaning: str
    value: str
    unit: str
    ceiling: str
    share_pct: float | None
    kernel: str


class PageView(Record, frozen=True, kw_only=True):
    """A profile page, most important first."""

    rung: str
    why_not_higher: str | None
    device: str
    shape: str
    kernels: tuple[Fact, ...]
    findings: tuple[Finding, ...]
    changes: tuple[Fact, ...]
    metrics: tuple[MetricRow, ...]
    text: str


class AttemptView(Record, frozen=True, kw_only=True):
    """An attempt with everything that became of it."""

    key: str
    number: int
    author: str
    standing: Standing
    verdict: str
    headline: str
    idea: str | None
    parent: int | None
    prediction: str | None
    grade: Grade | None
    veto: str | None
    sealed: str | None
    doubts: tuple[Fact, ...]
    timings: tuple[TimingRow, ...]
    facts: tuple[Fact, ...]
    account: str | None  # what the judge says of a failure, and its log
    log: str | None
    page: PageView | None
    source: tuple[Line, ...]
    hot: int
    difference: tuple[Change, ...]
    reply: str | None
    reasoning: str | None
    cost: tuple[Fact, ...]


class PromptView(Record, frozen=True, kw_only=True):
    """One message of a prompt; ``text`` is absent where the turn before had the same."""

    role: str
    text: str | None
    chars: int


class TurnView(Record, frozen=True, kw_only=True):
    """A turn: what was asked, what came, how long it took."""

    number: int
    attempts: tuple[AttemptView, ...]
    prompt: tuple[PromptView, ...]
    seconds: str | None
    fault: str | None


class Remark(Record, frozen=True, kw_only=True):
    """What the engineer or the loop said between turns."""

    kind: str
    text: str


class RunView(Record, frozen=True, kw_only=True):
    """A run as the report shows it."""

    key: str
    problem: str
    row: rows.RunRow
    began: str
    machine: str
    headline: Headline
    environment: tuple[Fact, ...]
    judged: tuple[Fact, ...]
    pictures: tuple[Picture, ...]
    story: tuple[TurnView | Remark, ...]
    attempts: tuple[rows.AttemptRow, ...]
    reference: tuple[Line, ...]
    damaged: tuple[str, ...]
    turns_left_out: int


def run_view(transcript: Transcript, *, key: str, pictures_only: bool = False) -> RunView:
    """Gather a run; ``pictures_only`` leaves the turns' details out, for a notebook."""
    started = transcript.started
    story = () if pictures_only else tuple(_story(transcript, key))
    left_out = max(0, len({attempt.turn for attempt in transcript.attempts}) - MOST_TURNS)
    return RunView(
        key=key,
        problem=phrase(started.problem.name, chars=100),
        row=rows.run(transcript),
        began=_date(started.at),
        machine=_machine(transcript),
        headline=headline_of(transcript),
        environment=tuple(_environment(transcript)),
        judged=tuple(_judged(transcript.setup)) if transcript.setup is not None else (),
        pictures=_pictures(transcript, None if pictures_only else f"{key}-attempt"),
        story=story,
        attempts=tuple(rows.attempts(transcript))[-MOST_TURNS:],
        reference=() if pictures_only else listing(started.problem.source),
        damaged=tuple(phrase(line, chars=160) for line in transcript.damaged[:20]),
        turns_left_out=left_out,
    )


# --- the headline ---------------------------------------------------------------------------------


def headline_of(transcript: Transcript) -> Headline:
    """Return what came of a run: the number with its interval, and before it any doubt."""
    best, setup = transcript.best, transcript.setup
    passed = best.passed if best is not None else None
    if best is None or passed is None:
        return Headline(kind="none", figure="", sentence=_nothing(transcript))
    against = _faster_baseline(passed)
    speedup, timing = passed.speedup, passed.timing
    doubts = [
        Fact(name=phrase(d.kind), value=phrase(d.evidence, chars=600)) for d in passed.suspicions
    ]
    weak = setup is not None and setup.fitness.weak
    if weak and setup is not None:
        accepted = ", ".join(phrase(name) for name in setup.fitness.accepted)
        evidence = f"its checks accept {accepted}; no speedup means anything here"
        doubts.insert(0, Fact(name="weak problem", value=evidence))
    if best.sealed is None:
        value = "it has not been rebuilt with torch's own headers in a fresh process"
        doubts.append(Fact(name="not sealed", value=value))
    found = _compared(speedup)
    return Headline(
        kind="weak" if weak else "doubtful" if passed.suspicions else found,
        figure=f"{speedup.value:.2f}×",
        sentence=_SENTENCES[found].format(against=against),
        doubts=tuple(doubts),
        facts=tuple(_evidence(transcript, best, passed, timing)),
    )


_SENTENCES = {
    "won": "faster than {against}",
    "level": "the speed of {against}, with 1 inside the interval: no difference was shown",
    "slower": "the speed of {against}",
}


def _compared(speedup: Ratio) -> Literal["won", "level", "slower"]:
    """A win is one whose whole interval lies above 1."""
    if speedup.low > 1:
        return "won"
    return "slower" if speedup.high < 1 else "level"


def _nothing(transcript: Transcript) -> str:
    tried = len(transcript.attempts)
    if not tried:
        return "no attempt yet"
    return f"nothing passed in {tried} attempt{'s' if tried != 1 else ''}"


def _faster_baseline(passed: Passed) -> str:
    compiled = passed.compiled
    if compiled is None:
        return "eager PyTorch"
    return "torch.compile" if compiled.median_us <= passed.eager.median_us else "eager PyTorch"


def _evidence(
    transcript: Transcript, best: Attempt, passed: Passed, timing: Timing
) -> Iterator[Fact]:
    ratio = passed.speedup
    yield Fact(name="95 % interval", value=f"{ratio.low:.3f} to {ratio.high:.3f}×")
    yield Fact(
        name="time per call",
        value=f"{number(timing.median_us, 4)} µs ({_interval(timing)}, n = {timing.samples})",
    )
    yield Fact(name="against eager", value=f"{passed.vs_eager.value:.2f}×")
    if passed.vs_compiled is not None:
        yield Fact(name="against torch.compile", value=f"{passed.vs_compiled.value:.2f}×")
    floor = rows.floor_us(transcript)
    if floor and timing.median_us > 0:
        share = 100 * floor / timing.median_us
        yield Fact(name="of the measured floor", value=f"{share:.0f} % ({number(floor)} µs)")
    credible = _fastest_without_doubts(transcript)
    if passed.suspicions and credible is not None:
        value = f"attempt {credible.number}, {credible.speedup:.2f}×"
        yield Fact(name="fastest without a doubt", value=value)
    sealed = "sealed" if best.sealed is not None else "not sealed"
    yield Fact(name="kernel", value=f"attempt {best.number}, by the {best.author}, {sealed}")


def _fastest_without_doubts(transcript: Transcript) -> Attempt | None:
    known = (a for a in transcript.attempts if a.passed is not None and not a.passed.suspicions)
    return max(known, key=lambda attempt: attempt.speedup, default=None)


# --- facts about the run --------------------------------------------------------------------------


def _environment(transcript: Transcript) -> Iterator[Fact]:
    started, setup = transcript.started, transcript.setup
    found = setup.environment if setup is not None else None
    known = [
        ("device", found.device if found else None),
        ("driver", found.driver if found else None),
        ("torch", found.torch if found else None),
        ("compiler", found.compiler if found else None),
        ("Nsight Compute", found.ncu if found else None),
        ("Python", found.python if found else None),
        ("cores", str(found.cores) if found and found.cores is not None else None),
        ("fence", found.fence if found else None),
        ("model", transcript.model),
        ("run", started.run),
        ("forked from", started.forked_from),
        ("date", _date(started.at)),
        ("refine_agent", started.version),
        ("commit", started.git_commit[:12] if started.git_commit else None),
        ("turns", str(len({attempt.turn for attempt in transcript.attempts}))),
        ("minutes in turns", f"{transcript.seconds / 60:.1f}"),
        ("cost", _dollars(rows.cost_usd(transcript))),
        ("ended", transcript.stopped.reason if transcript.stopped is not None else None),
    ]
    yield from (Fact(name=name, value=phrase(value)) for name, value in known if value)


def _machine(transcript: Transcript) -> str:
    """Return the versions that a number hangs on, in a line."""
    started, setup = transcript.started, transcript.setup
    found = setup.environment if setup is not None else None
    known = (
        ("driver ", found.driver if found else None),
        ("torch ", found.torch if found else None),
        ("", found.compiler if found else None),
        ("Nsight Compute ", found.ncu if found else None),
        ("Python ", found.python if found else None),
        ("refine_agent ", started.version),
        ("commit ", started.git_commit[:12] if started.git_commit else None),
    )
    return " · ".join(name + phrase(value, chars=60) for name, value in known if value)


def _judged(setup: Setup) -> Iterator[Fact]:
    """How the problem was judged: what a reader needs before believing a speedup."""
    fitness, work = setup.fitness, setup.work
    yield Fact(name="inputs", value=", ".join(phrase(one) for one in fitness.inputs) or "n/a")
    yield Fact(name="input cases", value=", ".join(phrase(one) for one in fitness.cases) or "n/a")
    if fitness.allowed_error is not None:
        yield Fact(
            name="allowed error", value=f"{fitness.allowed_error:.2g}, norm-wise, against fp64"
        )
    yield Fact(name="impostors rejected", value=", ".join(map(phrase, fitness.rejected)) or "none")
    if fitness.accepted:
        yield Fact(name="impostors ACCEPTED", value=", ".join(map(phrase, fitness.accepted)))
    yield Fact(name="bytes needed", value=f"{work.bytes_needed / 1e6:,.1f} MB")
    for flops in work.flops:
        yield Fact(name=f"{flops.precision} operations", value=f"{flops.count / 1e9:,.3g} GFLOP")
    if setup.floor_us is not None:
        yield Fact(name="measured floor", value=f"{number(setup.floor_us)} µs")
    if setup.bound_us is not None:
        yield Fact(name="datasheet bound", value=f"{number(setup.bound_us)} µs")
    yield from (Fact(name="ceiling", value=phrase(line)) for line in setup.ceilings[:8])
    yield from (Fact(name="caveat", value=phrase(line)) for line in work.caveats[:8])


def _pictures(transcript: Transcript, anchors: str | None) -> tuple[Picture, ...]:
    roofline = charts.roofline(transcript, width=HALF, anchors=anchors)
    found = (
        Picture(
            title="Speedup per turn",
            wide=charts.speedups(transcript, width=WIDE, anchors=anchors),
            narrow=charts.speedups(transcript, width=NARROW, anchors=anchors),
            caption="Against the faster of eager and torch.compile, with 95 % intervals; "
            "the line is the best so far.",
        ),
        Picture(
            title="Roofline",
            wide=roofline,
            caption="One point per kernel that passed, by attempt; hollow squares are the "
            "baselines at the bytes that the operation needs.",
        ),
        Picture(
            title="Where the seconds went",
            wide=charts.ledger(transcript, width=HALF if roofline else WIDE),
            narrow=None if roofline else charts.ledger(transcript, width=NARROW),
            caption="Per turn, by phase.",
        ),
        Picture(
            title="The tree of turns",
            wide=charts.tree(transcript, width=WIDE, anchors=anchors),
            narrow=charts.tree(transcript, width=NARROW, anchors=anchors),
            caption="Who revised what; the best kernel's line runs straight.",
        ),
    )
    return tuple(picture for picture in found if picture.wide)


# --- the story ------------------------------------------------------------------------------------


def _story(transcript: Transcript, key: str) -> Iterator[TurnView | Remark]:
    """Yield turns and what was said between them, in the order in which they happened."""
    shown = set(sorted({attempt.turn for attempt in transcript.attempts})[-MOST_TURNS:])
    said, begun, before = 0, set[int](), None
    for event in transcript.events:
        if isinstance(event, Prompted | Offered):
            if event.turn in begun or (
                event.turn not in shown and transcript.attempts_of(event.turn)
            ):
                continue
            begun.add(event.turn)
            if len(begun) > MOST_TURNS:
                continue
            turn = transcript.turn(event.turn)
            yield _turn(transcript, event.turn, key, before)
            before = turn.prompt or before
            continue
        remark = _remark(event)
        said += remark is not None
        if remark is not None and said <= 4 * MOST_TURNS:
            yield remark


def _remark(event: AnyEvent) -> Remark | None:  # noqa: PLR0911 - one per kind of event
    match event:
        case Hinted():
            return Remark(kind="hint", text=legible(event.text, chars=2000))
        case Vetoed():
            return Remark(
                kind="veto", text=f"attempt {event.attempt}: {phrase(event.reason, chars=600)}"
            )
        case Moved():
            to = f"attempt {event.attempt}" if event.attempt is not None else "the reference"
            why = f": {phrase(event.reason, chars=600)}" if event.reason else ""
            return Remark(kind="back", text=f"the next turn revises {to}{why}")
        case Changed():
            return Remark(kind="change", text=f"model {phrase(event.model)}; {_limits(event)}")
        case Resumed():
            return Remark(kind="resumed", text="the run was taken up again")
        case Stopped():
            return Remark(kind="stopped", text=phrase(event.reason, chars=600))
        case Failed():
            return Remark(kind="fault", text=phrase(event.fault, chars=600))
        case _:
            return None


def _limits(changed: Changed) -> str:
    budget = changed.options.budget
    known = (
        ("turns", budget.turns),
        ("target", budget.target),
        ("USD", budget.usd),
        ("minutes", budget.minutes),
        ("patience", budget.patience),
    )
    return (
        ", ".join(f"{name} {value:g}" for name, value in known if value is not None) or "no limit"
    )


def _turn(transcript: Transcript, turn: int, key: str, before: Prompt | None) -> TurnView:
    found, best = transcript.turn(turn), transcript.best
    floor = rows.floor_us(transcript)
    return TurnView(
        number=turn,
        attempts=tuple(
            attempt_view(
                attempt,
                key=f"{key}-attempt",
                parent=_parent(transcript, attempt),
                best=best,
                floor_us=floor,
            )
            for attempt in found.attempts[:16]
        ),
        prompt=tuple(_messages(found.prompt, before)),
        seconds=f"{found.seconds:.1f} s" if found.seconds is not None else None,
        fault=phrase(found.fault, chars=600) if found.fault else None,
    )


def phases_in(turn: Turn) -> str:
    """Return where a turn's seconds went, in a line."""
    long = [phase for phase in turn.ledger if phase.seconds >= SHORTEST_SHOWN_SECONDS]
    return ", ".join(f"{phrase(phase.name)} {phase.seconds:.1f}" for phase in long)


def _parent(transcript: Transcript, attempt: Attempt) -> Attempt | None:
    number = attempt.candidate.parent if attempt.candidate is not None else None
    return next((a for a in transcript.attempts if a.number == number), None)


def _messages(prompt: Prompt | None, before: Prompt | None) -> Iterator[PromptView]:
    known = {message.content for message in before.messages} if before is not None else set()
    for message in prompt.messages if prompt is not None else ():
        repeated = message.content in known
        text = None if repeated else legible(message.content, chars=REPLY_CHARS)
        yield PromptView(role=message.role, text=text, chars=len(message.content))


# --- an attempt -----------------------------------------------------------------------------------


def attempt_view(
    attempt: Attempt,
    *,
    key: str,
    parent: Attempt | None,
    best: Attempt | None,
    floor_us: float | None,
) -> AttemptView:
    """Gather an attempt; ``parent`` is what its source is compared with."""
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    passed, candidate = outcome(attempt), attempt.candidate
    source = listing(candidate.source[:SOURCE_CHARS], attempt.page) if candidate else ()
    doubts = passed.suspicions if passed is not None else ()
    compared = candidate is not None and parent is not None and parent.candidate is not None
    return AttemptView(
        key=key,
        number=attempt.number,
        author=attempt.author,
        standing=standing(attempt, best),
        verdict=type(final).__name__ if final is not None else "pending",
        headline=phrase(headline(final)) if final is not None else "not judged yet",
        idea=phrase(candidate.idea, chars=400) if candidate and candidate.idea else None,
        parent=candidate.parent if candidate else None,
        prediction=_prediction(attempt),
        grade=_grade(attempt.grade) if attempt.grade is not None else None,
        veto=phrase(attempt.veto, chars=600) if attempt.veto is not None else None,
        sealed=_sealing(attempt),
        doubts=tuple(
            Fact(name=phrase(doubt.kind), value=phrase(doubt.evidence, chars=600))
            for doubt in doubts
        ),
        timings=tuple(_timings(passed, floor_us)) if passed is not None else (),
        facts=tuple(_facts(final)),
        account=_account(final),
        log=_log(final),
        page=page_view(attempt.page) if attempt.page is not None else None,
        source=source,
        hot=sum(bool(line.hot) for line in source),
        difference=difference(parent.candidate.source, candidate.source) if compared else (),  # type: ignore[union-attr]
        reply=legible(attempt.reply.text, chars=REPLY_CHARS) if attempt.reply else None,
        reasoning=legible(attempt.reply.reasoning, chars=REPLY_CHARS)
        if attempt.reply and attempt.reply.reasoning
        else None,
        cost=tuple(_cost(attempt)),
    )


class Between(Record, frozen=True, kw_only=True):
    """What lies between two attempts."""

    titles: tuple[str, ...]
    changes: tuple[Fact, ...]
    source: tuple[Change, ...]


def between(before: Attempt, after: Attempt, changes: Sequence[MetricChange]) -> Between:
    """Gather what lies between two attempts that have kernels."""
    old, new = before.candidate, after.candidate
    known = old is not None and new is not None
    return Between(
        titles=tuple(_title(attempt) for attempt in (before, after)),
        changes=tuple(_changed(change) for change in changes[:12]),
        source=difference(old.source, new.source) if known else (),  # type: ignore[union-attr]
    )


def _title(attempt: Attempt) -> str:
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    said = phrase(headline(final)) if final is not None else "not judged yet"
    return f"attempt {attempt.number}, by the {attempt.author}: {said}"


def _changed(change: MetricChange) -> Fact:
    return Fact(name=change.direction, value=phrase(change.text))


def _prediction(attempt: Attempt) -> str | None:
    foretold = attempt.candidate.prediction if attempt.candidate is not None else None
    if foretold is None:
        return None
    before = f"{number(foretold.before)} → " if foretold.before is not None else "→ "
    return f"{phrase(foretold.metric)} {before}{number(foretold.after)}"


def _grade(grade: Grade) -> Grade:
    return msgspec.structs.replace(grade, text=phrase(grade.text, chars=400))


def _sealing(attempt: Attempt) -> str | None:
    if attempt.sealed is None:
        return None
    if isinstance(attempt.sealed, Passed):
        return "survived the rebuild with torch's own headers, in a fresh process, on a fresh seed"
    return f"did not survive its sealing: {phrase(headline(attempt.sealed))}"


def _timings(passed: Passed, floor_us: float | None) -> Iterator[TimingRow]:
    yield _timing("this kernel, on the device", passed.timing)
    yield _timing("the judge's own clock", passed.judge_clock)
    if passed.call is not None:
        yield _timing("one call, launch included", passed.call)
    yield _timing("eager", passed.eager, f"{passed.vs_eager.value:.2f}×")
    if passed.compiled is not None and passed.vs_compiled is not None:
        yield _timing("torch.compile", passed.compiled, f"{passed.vs_compiled.value:.2f}×")
    if passed.autotuned is not None and passed.vs_autotuned is not None:
        yield _timing("max-autotune", passed.autotuned, f"{passed.vs_autotuned.value:.2f}×")
    if floor_us and passed.timing.median_us > 0:
        share = f"{floor_us / passed.timing.median_us:.2f}×"
        yield TimingRow(
            name="floor at the measured ceiling",
            median=number(floor_us, 4),
            interval="",
            samples="",
            ratio=share,
        )


def _timing(name: str, timing: Timing, ratio: str = "") -> TimingRow:
    return TimingRow(
        name=name,
        median=number(timing.median_us, 4),
        interval=_interval(timing),
        samples=f"{timing.samples:,}",
        ratio=ratio,
    )


def _interval(timing: Timing) -> str:
    return f"{number(timing.low_us, 4)} to {number(timing.high_us, 4)}"


def _facts(verdict: AnyVerdict | None) -> Iterator[Fact]:
    if isinstance(verdict, Passed):
        checks = verdict.checks
        yield Fact(
            name="checked",
            value=f"{checks.cases} cases, {checks.calls:,} calls; worst error "
            f"{checks.worst_error:.2g} of {checks.allowed_error:.2g} allowed "
            f"({phrase(checks.worst_case)})",
        )
        shares = ", ".join(
            f"{share.share_pct:.0f} % {share.origin}"
            + (f" ({phrase(share.example)})" if share.example else "")
            for share in verdict.shares[:6]
        )
        if shares:
            yield Fact(name="device time", value=shares)
        yield Fact(name="built", value=verdict.flavour)
    if verdict is not None and verdict.fence is not None:
        yield Fact(name="fence", value=phrase(verdict.fence))
    if verdict is not None and verdict.phases:
        spent = ", ".join(f"{phrase(p.name)} {p.seconds:.1f} s" for p in verdict.phases[:12])
        yield Fact(name="seconds", value=spent)


def _account(verdict: AnyVerdict | None) -> str | None:  # noqa: PLR0911 - one per verdict
    match verdict:
        case Mismatch():
            where = f"; worst at {phrase(verdict.where)}" if verdict.where else ""
            error = (
                f"; error {verdict.error:.2g}, allowed {verdict.allowed:.2g}"
                if verdict.error is not None and verdict.allowed is not None
                else ""
            )
            case = phrase(verdict.case)
            return f"Wrong on {case}: {phrase(verdict.reason, chars=600)}{error}{where}"
        case Crashed():
            return f"Crashed during {phrase(verdict.during)}: {phrase(verdict.reason, chars=600)}"
        case TimedOut():
            return f"Still running after {verdict.seconds:.0f} s of {phrase(verdict.during)}"
        case Disqualified():
            rule, evidence = phrase(verdict.rule), phrase(verdict.evidence, chars=600)
            return f"Disqualified, {rule}: {evidence}"
        case Unreadable():
            return f"Unreadable: {phrase(verdict.reason, chars=600)}"
        case BuildFailed():
            return "The compiler refused it"
        case _:
            return None


def _log(verdict: AnyVerdict | None) -> str | None:
    match verdict:
        case BuildFailed() | Crashed():
            return legible(verdict.log, chars=LOG_CHARS) or None
        case Mismatch():
            return legible(verdict.map, chars=LOG_CHARS) if verdict.map else None
        case _:
            return None


def _cost(attempt: Attempt) -> Iterator[Fact]:
    reply = attempt.reply
    if reply is None:
        return
    yield Fact(name="model", value=phrase(reply.model))
    yield Fact(name="cost", value=_dollars(reply.cost_usd) or "price unknown")
    tokens = (
        ("in", reply.usage.input_tokens),
        ("cached", reply.usage.cached_tokens),
        ("out", reply.usage.output_tokens),
        ("reasoning", reply.usage.reasoning_tokens),
    )
    counted = ", ".join(f"{value:,} {name}" for name, value in tokens if value is not None)
    if counted:
        yield Fact(name="tokens", value=counted)
    yield Fact(name="answered in", value=f"{reply.seconds:.1f} s")
    if reply.thrown_away:
        yield Fact(name="answers thrown away before it", value=f"{reply.thrown_away}")
    if reply.note:
        yield Fact(name="note", value=phrase(reply.note))


def _dollars(cost: float | None) -> str | None:
    return f"${cost:,.3f}" if cost is not None else None


def _date(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "unknown"


# --- a page ---------------------------------------------------------------------------------------


def page_view(page: Page) -> PageView:
    """Gather a profile page."""
    return PageView(
        rung=page.rung,
        why_not_higher=phrase(page.why_not_higher, chars=400) if page.why_not_higher else None,
        device=phrase(page.device),
        shape=phrase(page.shape),
        kernels=tuple(_kernels(page)),
        findings=tuple(_finding(finding) for finding in page.findings[:20]),
        changes=tuple(_changed(change) for change in page.changed[:12]),
        metrics=tuple(_metric(metric) for metric in page.metrics[:300]),
        text=legible(page.text(), chars=REPLY_CHARS),
    )


def _kernels(page: Page) -> Iterator[Fact]:
    for kernel in page.kernels[:12]:
        share = f"{kernel.share_pct:.0f} %" if kernel.share_pct is not None else "share n/a"
        time = f"{number(kernel.time_us)} µs" if kernel.time_us is not None else "time n/a"
        launch = f"{phrase(kernel.grid)} × {phrase(kernel.block)}"
        yield Fact(
            name=phrase(kernel.name),
            value=f"{share}, {time}, launched {kernel.launches} times as {launch}"
            if kernel.launches != 1
            else f"{share}, {time}, {launch}",
        )


def _finding(finding: Finding) -> Finding:
    return msgspec.structs.replace(
        finding,
        kind=phrase(finding.kind),
        severity=min(max(finding.severity, 0.0), 1.0),
        text=phrase(finding.text, chars=600),
        advice=phrase(finding.advice, chars=600),
        where=phrase(finding.where) if finding.where else None,
    )


def _metric(metric: Metric) -> MetricRow:
    known, ceiling = BY_KEY.get(metric.key), metric.ceiling
    near = None
    if ceiling is not None and ceiling > 0 and metric.unit in {"%", "GB/s", "TFLOP/s"}:
        near = min(100.0, max(0.0, 100 * metric.value / ceiling))
    return MetricRow(
        key=phrase(metric.key),
        meaning=known.meaning if known is not None else "",
        value=number(metric.value),
        unit=phrase(metric.unit),
        ceiling=number(ceiling) if ceiling is not None else "",
        share_pct=near,
        kernel=phrase(metric.kernel) if metric.kernel else "",
    )
