"""What changed from one page to the next, and how a prediction about it fared.

It compares whole-call numbers only, so that a renamed or split kernel still compares.
"""

import msgspec

from refine_agent.profiling import metrics
from refine_agent.profiling.metrics import Quantity
from refine_agent.profiling.records import Change, Direction, Grade, Outcome, Page, Prediction

# Repeated profiles of one kernel differ by half a percent in time, a little more in caches.
NOISE = 0.03
# Percentages near zero change by large factors and mean nothing: at least two points must move.
LEAST_POINTS = 2.0
# A prediction is confirmed when the measured value has gone at least four fifths of the predicted
# way, or half of it and is within a tenth of the predicted value; partly from a fifth of it on.
CLOSE = 0.10
FAR_ENOUGH = 0.8
HALFWAY = 0.5
PARTLY = 0.2

# What moves a decision comes first.
_FIRST = (
    "time_us",
    "floor_ratio",
    "traffic_ratio",
    "dram_mb",
    "launches",
    "gap_pct",
    "bank_conflict_pct",
    "excess_sectors_pct",
    "spill_instructions",
    "occupancy_pct",
    "dram_gbps",
)
# Said better by another row, or a consequence of it.
_UNSAID = {
    "kernel_us",
    "bound_ratio",
    "dram_pct",
    "dram_read_mb",
    "dram_write_mb",
    "stall_selected_pct",
    "stall_not_selected_pct",
    "stall_misc_pct",
}


def changes(parent: Page, child: Page) -> tuple[Change, ...]:
    """Return the numbers that moved beyond noise from the parent's page to the child's, ranked."""
    found = []
    for quantity in metrics.TABLE:
        before, after = parent.value(quantity.key), child.value(quantity.key)
        if before is None or after is None or quantity.key in _UNSAID:
            continue
        if quantity.key in _AGAINST_A_FLOOR and _other_floor(quantity, parent, child):
            continue
        if (waited := _waited(quantity, before, after, parent, child)) is not None:
            found += [_waits(quantity, before, after, waited)] if waited.moved else []
        elif _moved(quantity, before, after):
            found.append(_change(quantity, before, after))
    return (*_contradiction(parent, child), *sorted(found, key=_rank))


# Medians of one run differ by less; two profiles of one kernel by no more than a per cent or two.
_A_LITTLE = 0.005


def _contradiction(parent: Page, child: Page) -> tuple[Change, ...]:
    """Say where timing and profile went opposite ways: then neither proves anything."""
    pairs = [[page.value(key) for page in (parent, child)] for key in ("time_us", "kernel_us")]
    if any(value is None for pair in pairs for value in pair):
        return ()
    timed, profiled = ([float(value or 0.0) for value in pair] for pair in pairs)
    moves = [(pair[1] - pair[0]) / pair[0] for pair in (timed, profiled) if pair[0]]
    if len(moves) < len(pairs) or moves[0] * moves[1] >= 0 or min(map(abs, moves)) < _A_LITTLE:
        return ()
    quantity = metrics.BY_KEY["kernel_us"]
    return (
        Change(
            metric=quantity.key,
            before=profiled[0],
            after=profiled[1],
            unit=quantity.unit,
            direction="neither",
            text=f"kernel_us {_number(profiled[0])} -> {_number(profiled[1])} us in the profiles, "
            f"while the timing went {_number(timed[0])} -> {_number(timed[1])} us: clocks "
            "differed, so trust neither difference",
        ),
    )


def _moved(quantity: Quantity, before: float, after: float) -> bool:
    if quantity.unit == "%" and abs(after - before) < LEAST_POINTS:
        return False
    return abs(after - before) > NOISE * max(abs(before), abs(after))


_AGAINST_A_FLOOR = {"floor_ratio", "bound_ratio"}


def _other_floor(quantity: Quantity, parent: Page, child: Page) -> bool:
    """Tell whether two ratios were taken to different floors and cannot be compared."""
    floors = []
    for page in (parent, child):
        took, ratio = page.value("time_us"), page.value(quantity.key)
        if not took or not ratio:
            return False
        floors.append(took / ratio)
    return abs(floors[0] - floors[1]) > NOISE * max(floors)


class _Waited(msgspec.Struct, frozen=True, kw_only=True):
    """A stall's share of both times: a larger share of less time may be less waiting."""

    before_us: float
    after_us: float
    whole_us: float

    @property
    def moved(self) -> bool:
        """Tell whether warps wait longer or shorter by more than two hundredths of the time."""
        return abs(self.after_us - self.before_us) > LEAST_POINTS / 100 * self.whole_us


def _waited(
    quantity: Quantity, before: float, after: float, parent: Page, child: Page
) -> _Waited | None:
    whole, left = parent.value("time_us"), child.value("time_us")
    if not quantity.key.startswith("stall_") or not whole or not left:
        return None
    return _Waited(
        before_us=before / 100 * whole, after_us=after / 100 * left, whole_us=max(whole, left)
    )


def _waits(quantity: Quantity, before: float, after: float, waited: _Waited) -> Change:
    direction: Direction = "better" if waited.after_us < waited.before_us else "worse"
    times = f"{_number(waited.before_us)} -> {_number(waited.after_us)} us: {direction}"
    return Change(
        metric=quantity.key,
        before=before,
        after=after,
        unit=quantity.unit,
        direction=direction,
        text=f"{quantity.key} {_number(before)} -> {_number(after)} {quantity.unit} ({times})",
    )


def _rank(change: Change) -> tuple[int, float]:
    if change.metric in _FIRST:
        return (_FIRST.index(change.metric), 0.0)
    # Points for percentages, relative change for the rest: both say how far it went.
    scale = 100.0 if change.unit == "%" else max(abs(change.before), abs(change.after))
    return (len(_FIRST), -abs(change.after - change.before) / scale)


def _change(quantity: Quantity, before: float, after: float) -> Change:
    direction = _direction(quantity, before, after)
    words = {"better": " (better)", "worse": " (worse)", "neither": ""}[direction]
    text = f"{quantity.key} {_number(before)} -> {_number(after)} {quantity.unit}{words}"
    return Change(
        metric=quantity.key,
        before=before,
        after=after,
        unit=quantity.unit,
        direction=direction,
        text=text,
    )


def _direction(quantity: Quantity, before: float, after: float) -> Direction:
    if quantity.better == "neither":
        return "neither"
    return "better" if (after < before) == (quantity.better == "lower") else "worse"


def predictable(page: Page) -> tuple[str, ...]:
    """Return the metric keys on this page that an author may predict."""
    present = {metric.key for metric in page.metrics if metric.kernel is None}
    return tuple(row.key for row in metrics.TABLE if row.predictable and row.key in present)


def grade(prediction: Prediction, before: Page | None, after: Page) -> Grade:
    """Return how a prediction about one metric fared on the page that followed."""
    quantity = metrics.BY_KEY.get(prediction.metric)
    if quantity is None:
        return _ungraded(prediction, f"{prediction.metric} is not a metric of the page")
    measured = after.value(prediction.metric)
    if measured is None:
        return _ungraded(prediction, f"{prediction.metric} was not measured this time")
    start = before.value(prediction.metric) if before is not None else None
    start = prediction.before if start is None else start
    verdict = _verdict(quantity, prediction.after, start, measured)
    expected = _number(prediction.after)
    if start is not None:
        expected = f"{_number(start)} -> {expected}"
    return Grade(
        prediction=prediction,
        measured=measured,
        verdict=verdict,
        text=f"expected {prediction.metric} {expected} {quantity.unit}; it is {_number(measured)}: "
        f"{verdict}{_how_far(prediction.after, start, measured)}",
    )


def _ungraded(prediction: Prediction, why: str) -> Grade:
    return Grade(prediction=prediction, measured=None, verdict="not measured", text=why)


def _verdict(quantity: Quantity, expected: float, start: float | None, measured: float) -> Outcome:
    slack = max(CLOSE * abs(expected), LEAST_POINTS if quantity.unit == "%" else 0.0)
    close = abs(measured - expected) <= slack
    progress = _progress(expected, start, measured)
    if start is None or progress is None:
        return "confirmed" if close else "refuted"
    # A small change predicted lies within the slack of no change at all, and of the opposite one.
    if close and progress >= HALFWAY:
        return "confirmed"
    if _beyond(quantity, expected, start, measured) or FAR_ENOUGH <= progress <= 2 - FAR_ENOUGH:
        return "confirmed"
    return "partly" if progress >= PARTLY else "refuted"


def _progress(expected: float, start: float | None, measured: float) -> float | None:
    """Return how much of the predicted change has happened; below 0 it went the other way."""
    if start is None or expected == start:
        return None
    return (measured - start) / (expected - start)


def _how_far(expected: float, start: float | None, measured: float) -> str:
    progress = _progress(expected, start, measured)
    if progress is None or FAR_ENOUGH <= progress <= 2 - FAR_ENOUGH:
        return ""
    if progress < 0:
        return ", it went the other way"
    return f", {100 * progress:.0f} % of the predicted change"


def _beyond(quantity: Quantity, expected: float, start: float, measured: float) -> bool:
    """Tell whether a number got better than predicted, in the direction in which it is better."""
    if quantity.better == "lower":
        return expected < start and measured <= expected
    return quantity.better == "higher" and expected > start and measured >= expected


def _number(value: float) -> str:
    if abs(value) >= 1000:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.3g}"
