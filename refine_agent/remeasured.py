"""Whether a second measurement of machine and problem says anything that the first did not.

It owns what counts as news and what as noise; when to measure is the loop's business, and what an
older finding is still worth is the transcript's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import Fitness, Setup, Timing

# Ceilings and floors come from medians of a few copies: the same machine's differ by less.
SAME_FLOOR = 0.05
# Medians of one machine on two days, beyond what the samples of either day tell.
SAME_MACHINE = 0.02
# The allowed error follows from the reference's own on inputs drawn at random.
SAME_ERROR = 0.5
_NUMBER = re.compile(r"\d[\d,.]*")


def has_news(before: Setup, now: Setup) -> bool:
    """Whether a prompt written from the one would say something else than from the other."""
    return (
        before.environment != now.environment
        or before.work != now.work
        or before.baseline.why_not_compiled != now.baseline.why_not_compiled
        or _masked(before.ceilings) != _masked(now.ceilings)
        or _examined(before.fitness) != _examined(now.fitness)
        or _apart(before.fitness.allowed_error, now.fitness.allowed_error, SAME_ERROR)
        or any(_apart(was, is_now, SAME_FLOOR) for was, is_now in _floors(before, now))
        or any(_timings_apart(was, is_now) for was, is_now in _baselines(before, now))
    )


def _floors(before: Setup, now: Setup) -> Iterator[tuple[float | None, float | None]]:
    yield before.floor_us, now.floor_us
    yield before.bound_us, now.bound_us


def _baselines(before: Setup, now: Setup) -> Iterator[tuple[Timing | None, Timing | None]]:
    yield before.baseline.eager, now.baseline.eager
    yield before.baseline.compiled, now.baseline.compiled


def _examined(fitness: Fitness) -> Fitness:
    return replace(fitness, allowed_error=None)


def _masked(lines: tuple[str, ...]) -> list[str]:
    """Return lines without the numbers in them, which floors follow from."""
    return [_NUMBER.sub("#", line) for line in lines]


def _apart(was: float | None, is_now: float | None, slack: float) -> bool:
    if was is None or is_now is None:
        return was is not is_now
    return abs(was - is_now) > slack * max(abs(was), abs(is_now))


def _timings_apart(was: Timing | None, is_now: Timing | None) -> bool:
    """Whether neither interval, a little widened, reaches the other."""
    if was is None or is_now is None:
        return was is not is_now
    low, high = sorted((was, is_now), key=lambda timing: timing.median_us)
    return high.low_us > low.high_us * (1 + SAME_MACHINE)
