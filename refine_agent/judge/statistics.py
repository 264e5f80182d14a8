"""From samples to a median, and from blocks taken side by side to a ratio, each with its interval.

It owns the arithmetic of timing; taking the samples is ``examiner``'s business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refine_agent.records import Ratio, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence

RESAMPLES = 2000


def timing(samples_us: Sequence[float]) -> Timing:
    """Return the median with its 95 % bootstrap interval."""
    values = np.asarray(samples_us, dtype=np.float64)
    low, high = _interval(values)
    return Timing(median_us=float(np.median(values)), low_us=low, high_us=high, samples=len(values))


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(np.median(np.asarray(values, dtype=np.float64)))


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return float(np.mean(np.asarray(values, dtype=np.float64)))


def lower_quartile(values: Sequence[float]) -> float:
    """Return what a quarter of the values lie below."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), 0.25))


def upper_quartile(values: Sequence[float]) -> float:
    """Return what a quarter of the values lie above."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), 0.75))


def quartile_range(values: Sequence[float]) -> float:
    """Return the distance between the quartiles: the scatter, whatever the outliers."""
    low, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.75))
    return float(high - low)


def _interval(values: np.ndarray) -> tuple[float, float]:
    if len(values) == 1:
        return float(values[0]), float(values[0])
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(values), size=(RESAMPLES, len(values)))
    medians = np.median(values[draws], axis=1)
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def ratio(slower: Sequence[Sequence[float]], faster: Sequence[Sequence[float]]) -> Ratio:
    """Return how many times faster, from blocks that were taken side by side.

    The value is the median over the rounds of the ratio of their two blocks, each by its median:
    what slows a whole round down, as another program's share of the memory does, slows both. The
    interval resamples rounds, since samples within one share the clock and the neighbours.
    """
    if len(slower) != len(faster):
        raise ValueError("a ratio needs the same number of blocks on both sides")
    above = np.asarray([np.median(block) for block in slower])
    below = np.asarray([np.median(block) for block in faster])
    low, high = _interval(above / below)
    return Ratio(value=float(np.median(above / below)), low=low, high=high)


def narrow_enough(samples_us: Sequence[float], *, within: float) -> bool:
    """Whether the interval's half-width is below ``within`` of the median."""
    if len(samples_us) < 5:  # noqa: PLR2004 - below it a bootstrap interval says nothing
        return False
    found = timing(samples_us)
    return (found.high_us - found.low_us) / 2 <= within * found.median_us
