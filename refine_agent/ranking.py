"""Which of two kernels is the faster, by what was measured of each.

It owns when device times of different turns may be compared and when only ratios may; how a time
or a ratio came about is the judge's business, and what follows for a run is the transcript's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refine_agent.records import Attempt, Passed, Timing

# A baseline whose median is known no better than this, to either side, was restless.
STEADY = 0.05


def fastest(attempts: Iterable[Attempt]) -> Attempt | None:
    """Return the attempt that holds the title once each has challenged whoever held it before."""
    champion: Attempt | None = None
    for attempt in attempts:
        if attempt.passed is not None and (champion is None or beats(attempt, champion)):
            champion = attempt
    return champion


def beats(challenger: Attempt, champion: Attempt) -> bool:
    """Whether the challenger is the faster of the two, as far as can be told.

    By device time where the machine was as fast beside either: a ratio has its baseline's noise on
    top, and of two that cannot be told apart the shorter one leads. Otherwise by what each ratio is
    at least.
    """
    new, old = challenger.passed, champion.passed
    if new is None or old is None:
        return old is None and new is not None
    if _machine_was_as_fast(new, old):
        return new.timing.median_us < old.timing.median_us
    return new.speedup.low > old.speedup.low


def clearly_beats(challenger: Attempt, champion: Attempt) -> bool:
    """Whether the challenger is faster beyond the noise of either."""
    new, old = challenger.passed, champion.passed
    if new is None or old is None:
        return old is None and new is not None
    if _machine_was_as_fast(new, old):
        return new.timing.high_us < old.timing.low_us
    return new.speedup.low > old.speedup.value


def _machine_was_as_fast(one: Passed, other: Passed) -> bool:
    """Whether the faster baseline took as long beside the one as beside the other.

    Both were timed in turn with it, so it tells of another machine, a held-back clock and a busy
    neighbour alike; one that was restless itself tells nothing.
    """
    witnesses = _witness(one), _witness(other)
    return all(map(_is_steady, witnesses)) and _overlap(*witnesses)


def _is_steady(timing: Timing) -> bool:
    return timing.high_us - timing.low_us <= 2 * STEADY * timing.median_us


def _witness(passed: Passed) -> Timing:
    eager, compiled = passed.eager, passed.compiled
    return eager if compiled is None or eager.median_us <= compiled.median_us else compiled


def _overlap(one: Timing, other: Timing) -> bool:
    return one.low_us <= other.high_us and other.low_us <= one.high_us
