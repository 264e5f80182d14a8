"""Small words that every view uses: facts, intervals, dates, dollars.

What is said with them is the other views' business.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from refine_agent.charts.svg import number
from refine_agent.records import Record

if TYPE_CHECKING:
    from refine_agent.records import Timing


class Fact(Record, frozen=True, kw_only=True):
    """A name and what is known by it."""

    name: str
    value: str


def interval(timing: Timing) -> str:
    """Return a timing's 95 % interval, in microseconds."""
    return f"{number(timing.low_us, 4)} to {number(timing.high_us, 4)}"


def dollars(cost: float | None) -> str | None:
    """Return a price, or ``None`` where it is not known."""
    return f"${cost:,.3f}" if cost is not None else None


def date(at: float) -> str:
    """Return seconds since the epoch as a date and time."""
    try:
        return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "unknown"
