"""An attempt as a report shows it: verdict, timings, page, hot lines, difference, reply.

What the verdict is, the judge has said; here are the words for it.
"""
# Factors and gaps are written as people write them.
# ruff: noqa: RUF001

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from refine_agent.charts.marks import Standing, standing
from refine_agent.charts.svg import number
from refine_agent.legible import legible, phrase
from refine_agent.listing import Change, Line, difference, listing
from refine_agent.records import (
    BuildFailed,
    Crashed,
    Disqualified,
    Mismatch,
    Passed,
    Record,
    TimedOut,
    Unreadable,
    headline,
)
from refine_agent.rows import outcome
from refine_agent.views.page import PageView, changed, page_view
from refine_agent.views.words import Fact, dollars, interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refine_agent.profiling.records import Change as MetricChange
    from refine_agent.profiling.records import Grade
    from refine_agent.records import AnyVerdict, Attempt, Timing

LOG_CHARS, SOURCE_CHARS, REPLY_CHARS = 8_000, 40_000, 24_000


class TimingRow(Record, frozen=True, kw_only=True):
    """One timing of a verdict, in microseconds per call, with what it means for the ratio."""

    name: str
    median: str
    interval: str
    samples: str
    ratio: str = ""


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


class Between(Record, frozen=True, kw_only=True):
    """What lies between two attempts."""

    titles: tuple[str, ...]
    changes: tuple[Fact, ...]
    source: tuple[Change, ...]


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


def between(before: Attempt, after: Attempt, changes: Sequence[MetricChange]) -> Between:
    """Gather what lies between two attempts that have kernels."""
    old, new = before.candidate, after.candidate
    known = old is not None and new is not None
    return Between(
        titles=tuple(_title(attempt) for attempt in (before, after)),
        changes=tuple(changed(change) for change in changes[:12]),
        source=difference(old.source, new.source) if known else (),  # type: ignore[union-attr]
    )


def _title(attempt: Attempt) -> str:
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    said = phrase(headline(final)) if final is not None else "not judged yet"
    return f"attempt {attempt.number}, by the {attempt.author}: {said}"


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
        tools = "".join(f"; {phrase(tool.text)}" for tool in attempt.sealed.sanitized)
        afresh = "in a fresh process, on a fresh seed"
        return f"survived the rebuild with torch's own headers, {afresh}{tools}"
    return f"did not survive its sealing: {phrase(headline(attempt.sealed))}"


def _timings(passed: Passed, floor_us: float | None) -> Iterator[TimingRow]:
    yield _timing("this kernel, on the device", passed.timing)
    yield _timing("the judge's own clock", passed.judge_clock)
    if passed.single is not None:
        yield _timing("one call, launch included", passed.single)
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
        interval=interval(timing),
        samples=f"{timing.samples:,}",
        ratio=ratio,
    )


def _facts(verdict: AnyVerdict | None) -> Iterator[Fact]:
    if isinstance(verdict, Passed):
        checks = verdict.checks
        yield Fact(
            name="checked",
            value=f"{checks.cases} cases, {checks.extent}; worst error "
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
    yield Fact(name="cost", value=dollars(reply.cost_usd) or "price unknown")
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
