"""What came of a run, doubts first: the number with its interval, or why there is none.

It owns when a speedup is called a win; the evidence behind a doubt is the judge's.
"""
# Factors and gaps are written as people write them.
# ruff: noqa: RUF001

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from refine_agent import ranking, rows
from refine_agent.charts.svg import number
from refine_agent.legible import phrase
from refine_agent.records import Record
from refine_agent.views.words import Fact, interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import Attempt, Passed, Ratio, Timing
    from refine_agent.transcript import Transcript


Result = Literal["won", "level", "slower", "doubtful", "weak", "none"]


class Headline(Record, frozen=True, kw_only=True):
    """What came of the run, doubts first."""

    kind: Result
    figure: str
    sentence: str
    doubts: tuple[Fact, ...] = ()
    facts: tuple[Fact, ...] = ()


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
    weak = transcript.weak
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
        value=f"{number(timing.median_us, 4)} µs ({interval(timing)}, n = {timing.samples})",
    )
    yield Fact(name="against eager", value=f"{passed.vs_eager.value:.2f}×")
    if passed.vs_compiled is not None:
        yield Fact(name="against torch.compile", value=f"{passed.vs_compiled.value:.2f}×")
    floor = rows.floor_us(transcript, best.number)
    if floor and timing.median_us > 0:
        times = timing.median_us / floor
        yield Fact(name="over the measured floor", value=f"{times:.2f}× ({number(floor)} µs)")
    credible = _fastest_without_doubts(transcript)
    if passed.suspicions and credible is not None:
        value = f"attempt {credible.number}, {credible.speedup:.2f}×"
        yield Fact(name="fastest without a doubt", value=value)
    sealed = "sealed" if best.sealed is not None else "not sealed"
    yield Fact(name="kernel", value=f"attempt {best.number}, by the {best.author}, {sealed}")


def _fastest_without_doubts(transcript: Transcript) -> Attempt | None:
    return ranking.fastest(
        a for a in transcript.attempts if a.passed is not None and not a.passed.suspicions
    )
