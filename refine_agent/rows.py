"""A run as flat rows, one record per line of a table: attempts, metrics, seconds, whole runs.

Frames turn them into pandas and the report embeds them as JSON; both read the same numbers here,
and how either looks is theirs. Words in rows are single short lines, whoever wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine_agent.legible import phrase
from refine_agent.records import Passed, Record, TurnClosed, digest_of, headline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from refine_agent.records import Attempt
    from refine_agent.transcript import Transcript

IDEA_CHARS = 300


class AttemptRow(Record, frozen=True, kw_only=True, omit_defaults=False):
    """One attempt. Times in microseconds per call, ratios with their 95 % interval.

    ``speedup`` is against the faster of eager and torch.compile, and is absent unless the attempt
    passed; ``doubtful`` and ``veto`` say why it may not count all the same.
    """

    run: str
    problem: str
    turn: int
    attempt: int
    author: str
    parent: int | None
    verdict: str | None
    headline: str | None
    idea: str | None
    median_us: float | None
    low_us: float | None
    high_us: float | None
    samples: int | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    vs_eager: float | None
    vs_compiled: float | None
    floor_ratio: float | None
    sealed: bool
    doubtful: bool
    suspicions: str | None
    veto: str | None
    prediction: str | None
    grade: str | None
    rung: str | None
    model: str | None
    cost_usd: float | None
    input_tokens: int | None
    output_tokens: int | None
    model_seconds: float | None
    bench_seconds: float | None
    digest: str | None


class MetricRow(Record, frozen=True, kw_only=True, omit_defaults=False):
    """One number of one page; ``kernel`` is absent where it is the whole call's."""

    run: str
    turn: int
    attempt: int
    kernel: str | None
    metric: str
    value: float
    unit: str
    ceiling: float | None


class PhaseRow(Record, frozen=True, kw_only=True, omit_defaults=False):
    """Seconds that one phase of one turn took on the wall."""

    run: str
    turn: int
    phase: str
    seconds: float


class RunRow(Record, frozen=True, kw_only=True, omit_defaults=False):
    """One run with its best kernel, if it has one; ``began`` is seconds since the epoch.

    ``device`` is where the best kernel was judged or sealed; without one, where the run was last.
    """

    run: str
    folder: str
    problem: str
    model: str
    device: str | None
    began: float
    turns: int
    attempts: int
    passed: int
    best: int | None
    best_us: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    vs_eager: float | None
    floor_ratio: float | None
    sealed: bool
    doubtful: bool
    weak: bool
    cost_usd: float | None
    seconds: float
    stopped: str | None
    damaged: int


def attempts(transcript: Transcript) -> Iterator[AttemptRow]:
    """Yield a row per attempt, in order."""
    run, problem = phrase(transcript.started.run), phrase(transcript.problem.name)
    for attempt in transcript.attempts:
        floor = floor_us(transcript, attempt.number)
        yield _attempt(attempt, run=run, problem=problem, floor=floor)


def metrics(transcript: Transcript) -> Iterator[MetricRow]:
    """Yield a row per number of every page."""
    for attempt in transcript.attempts:
        for metric in attempt.page.metrics if attempt.page is not None else ():
            yield MetricRow(
                run=phrase(transcript.started.run),
                turn=attempt.turn,
                attempt=attempt.number,
                kernel=_phrase(metric.kernel),
                metric=phrase(metric.key),
                value=metric.value,
                unit=phrase(metric.unit),
                ceiling=metric.ceiling,
            )


def ledger(transcript: Transcript) -> Iterator[PhaseRow]:
    """Yield a row per turn and phase; a turn's rows sum to its wall time."""
    closed = (event for event in transcript.events if isinstance(event, TurnClosed))
    for turn in closed:
        for phase in turn.ledger:
            yield PhaseRow(
                run=phrase(transcript.started.run),
                turn=turn.turn,
                phase=phrase(phase.name),
                seconds=phase.seconds,
            )


def run(transcript: Transcript) -> RunRow:
    """Return the run in one row."""
    best, setup, found = transcript.best, transcript.setup_of_best, transcript.attempts
    passed = best.passed if best is not None else None
    floor = floor_us(transcript, best.number) if best is not None else None
    stopped = transcript.stopped
    return RunRow(
        run=phrase(transcript.started.run),
        folder=str(transcript.folder),
        problem=phrase(transcript.problem.name),
        model=phrase(transcript.model),
        device=phrase(setup.environment.device) if setup is not None else None,
        began=transcript.started.at,
        turns=len({attempt.turn for attempt in found}),
        attempts=len(found),
        passed=sum(attempt.passed is not None for attempt in found),
        best=best.number if best is not None else None,
        best_us=passed.timing.median_us if passed is not None else None,
        speedup=passed.speedup.value if passed is not None else None,
        speedup_low=passed.speedup.low if passed is not None else None,
        speedup_high=passed.speedup.high if passed is not None else None,
        vs_eager=passed.vs_eager.value if passed is not None else None,
        floor_ratio=_over(passed, floor),
        sealed=best is not None and best.sealed is not None,
        doubtful=passed is not None and bool(passed.suspicions),
        weak=transcript.weak,
        cost_usd=cost_usd(transcript),
        seconds=transcript.seconds,
        stopped=phrase(stopped.reason) if stopped is not None else None,
        damaged=len(transcript.damaged),
    )


def floor_us(transcript: Transcript, attempt: int) -> float | None:
    """Return the floor that an attempt was judged beside, in µs per call, if it was measured."""
    setup = transcript.setup_of(attempt)
    return setup.floor_us if setup is not None else None


def cost_usd(transcript: Transcript) -> float | None:
    """Return the dollars paid, or ``None`` where the price of some reply, or of all, is unknown."""
    if transcript.unpriced:
        return None
    replies = [attempt.reply for attempt in transcript.attempts if attempt.reply is not None]
    prices = [reply.cost_usd for reply in replies if reply.cost_usd is not None]
    return sum(prices) if prices else None


def cost(transcript: Transcript, dollars: Callable[[float], str | None]) -> str | None:
    """Return the cost in words, of which a part may be unknown; ``None`` where nothing has one."""
    if transcript.unpriced:
        known = f"{dollars(transcript.cost_usd)} and " if transcript.cost_usd else ""
        return f"{known}unknown"
    paid = cost_usd(transcript)
    return dollars(paid) if paid is not None else None


def outcome(attempt: Attempt) -> Passed | None:
    """Return the passing verdict an attempt earned, vetoed or not; sealed where it was sealed."""
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    return final if isinstance(final, Passed) else None


def _attempt(attempt: Attempt, *, run: str, problem: str, floor: float | None) -> AttemptRow:
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    passed, reply, candidate = outcome(attempt), attempt.reply, attempt.candidate
    foretold = candidate.prediction if candidate is not None else None
    doubts = passed.suspicions if passed is not None else ()
    return AttemptRow(
        run=run,
        problem=problem,
        turn=attempt.turn,
        attempt=attempt.number,
        author=attempt.author,
        parent=candidate.parent if candidate is not None else None,
        verdict=type(final).__name__ if final is not None else None,
        headline=phrase(headline(final)) if final is not None else None,
        idea=_phrase(candidate.idea if candidate is not None else None, IDEA_CHARS),
        median_us=passed.timing.median_us if passed is not None else None,
        low_us=passed.timing.low_us if passed is not None else None,
        high_us=passed.timing.high_us if passed is not None else None,
        samples=passed.timing.samples if passed is not None else None,
        speedup=passed.speedup.value if passed is not None else None,
        speedup_low=passed.speedup.low if passed is not None else None,
        speedup_high=passed.speedup.high if passed is not None else None,
        vs_eager=passed.vs_eager.value if passed is not None else None,
        vs_compiled=passed.vs_compiled.value
        if passed is not None and passed.vs_compiled is not None
        else None,
        floor_ratio=_over(passed, floor),
        sealed=attempt.sealed is not None,
        doubtful=bool(doubts),
        suspicions="; ".join(phrase(doubt.kind) for doubt in doubts) or None,
        veto=_phrase(attempt.veto),
        prediction=f"{phrase(foretold.metric)} -> {foretold.after:g}" if foretold else None,
        grade=attempt.grade.verdict if attempt.grade is not None else None,
        rung=attempt.page.rung if attempt.page is not None else None,
        model=_phrase(reply.model) if reply is not None else None,
        cost_usd=reply.cost_usd if reply is not None else None,
        input_tokens=reply.usage.input_tokens if reply is not None else None,
        output_tokens=reply.usage.output_tokens if reply is not None else None,
        model_seconds=reply.seconds if reply is not None else None,
        bench_seconds=_bench_seconds(attempt),
        digest=digest_of(candidate.source) if candidate is not None else None,
    )


def _bench_seconds(attempt: Attempt) -> float | None:
    if attempt.verdict is None:
        return None
    phases = list(attempt.verdict.phases)
    phases += attempt.sealed.phases if attempt.sealed is not None else ()
    return sum(phase.seconds for phase in phases) + attempt.profile_seconds


def _over(passed: Passed | None, floor: float | None) -> float | None:
    if passed is None or not floor:
        return None
    return passed.timing.median_us / floor


def _phrase(text: str | None, chars: int = 200) -> str | None:
    return phrase(text, chars=chars) if text is not None else None
