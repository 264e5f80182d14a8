"""The roofline of a run (Williams, Waterman and Patterson, CACM 52-4, 2009): a point per kernel.

Where the reference's operations were counted they are the work; where none count, the useful bytes
are, so that a copy has a roofline too. How near a kernel is to its ceiling in words is the page's
business.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from refine_agent.charts import machines
from refine_agent.charts.marks import (
    COLOURS,
    NARROW,
    drawn,
    finite,
    link,
    rule,
    sign,
    text,
)
from refine_agent.charts.svg import Markup, Scale, fit, join, number, picture, spread, tag
from refine_agent.legible import phrase
from refine_agent.rows import outcome

if TYPE_CHECKING:
    from refine_agent.records import Attempt, Setup
    from refine_agent.transcript import Transcript

LABEL_WIDTH, LABEL_HEIGHT, MARK = 26, 13, 5
# The line below the plot that says whose roofs are shown, where machines differ.
NOTE = 16.0


class Roof(msgspec.Struct, frozen=True, kw_only=True):
    """A ceiling: ``slope`` in work per byte-time where bytes bind, ``flat`` where operations do."""

    name: str
    bytes_per_us: float | None = None
    work_per_us: float | None = None
    measured: bool = False

    def at(self, intensity: float) -> float:
        """Return the highest rate under this roof, in work per microsecond."""
        if self.bytes_per_us is not None:
            return self.bytes_per_us * intensity
        return self.work_per_us or 0.0


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel: work per byte moved, work per microsecond."""

    intensity: float
    rate: float
    label: str
    attempt: Attempt | None = None
    counted: bool = True  # whether the bytes it moved were counted, or are those it needs


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What the work is counted in, and how its rate is written."""

    work: float
    intensity: str
    rate: str
    per_us: float  # one unit of rate, in work per microsecond


def roofline(transcript: Transcript, *, width: float = 760, anchors: str | None = None) -> Markup:
    """Draw the roofs that are known and a point per kernel that passed; empty if there is none.

    Roofs are a machine's: the best kernel's, with those kernels alone that were judged there.
    """
    setup = transcript.setup_of_best
    if setup is None or setup.work.bytes_needed <= 0:
        return Markup("")
    unit = _unit(setup)
    points = (*_baselines(setup, unit), *_attempts(transcript, setup, unit))
    roofs = _roofs(transcript, setup)
    if not points or not roofs:
        return Markup("")
    x, y = _scales(points, roofs, width)
    best, note = transcript.best, _whose(transcript)
    return picture(
        _axes(x, y, unit),
        *(_roof(x, y, roof, width) for roof in roofs),
        _points(x, y, points, best, anchors),
        _note(note, width),
        width=width,
        height=_height(width) + (NOTE if note else 0.0),
        title=f"Roofline: {phrase(transcript.problem.name, chars=80)}",
        desc=_described(points, roofs, unit, note),
        kind="roofline",
    )


def _whose(transcript: Transcript) -> str:
    return machines.of_one_machine(transcript, what="roofs", fate="judged elsewhere, left out")


def _note(note: str, width: float) -> Markup:
    if not note:
        return Markup("")
    words = fit(note, width - 8)
    return text(width / 2, _height(width) + NOTE - 7, words, anchor="middle", size=11)


def _height(width: float) -> float:
    return 270.0 if width < NARROW else 330.0


def _unit(setup: Setup) -> Unit:
    operations = sum(flops.count for flops in setup.work.flops)
    if operations <= 0:
        return Unit(
            work=float(setup.work.bytes_needed),
            intensity="useful bytes per byte moved",
            rate="useful GB/s",
            per_us=1e3,
        )
    return Unit(
        work=float(operations), intensity="operations per DRAM byte", rate="GFLOP/s", per_us=1e3
    )


def _baselines(setup: Setup, unit: Unit) -> tuple[Point, ...]:
    """Nobody counts the baselines' traffic: they stand at the bytes the operation needs."""
    known = {"eager": setup.baseline.eager, "torch.compile": setup.baseline.compiled}
    return tuple(
        Point(
            intensity=unit.work / setup.work.bytes_needed,
            rate=unit.work / timing.median_us,
            label=name,
            counted=False,
        )
        for name, timing in known.items()
        if timing is not None and finite(timing.median_us) is not None
    )


def _attempts(transcript: Transcript, setup: Setup, unit: Unit) -> tuple[Point, ...]:
    found = []
    for attempt in machines.of_shown(transcript, drawn(transcript)):
        passed = outcome(attempt)
        if passed is None or finite(passed.timing.median_us) is None or passed.suspicions:
            continue
        megabytes = finite(attempt.page.value("dram_mb")) if attempt.page is not None else None
        moved = megabytes * 1e6 if megabytes is not None else float(setup.work.bytes_needed)
        point = Point(
            intensity=unit.work / moved,
            rate=unit.work / passed.timing.median_us,
            label=str(attempt.number),
            attempt=attempt,
            counted=megabytes is not None,
        )
        if finite(point.intensity) is not None and finite(point.rate) is not None:
            found.append(point)
    return tuple(found)


def _roofs(transcript: Transcript, setup: Setup) -> tuple[Roof, ...]:
    peaks, flops = setup.peaks, setup.work.flops
    found: list[Roof] = []
    copy = peaks.copy_gbps if peaks is not None else None
    peak = peaks.dram_peak_gbps if peaks is not None else None
    peak = peak or _peak_on_a_page(transcript)
    if finite(peak) is not None and peak:
        found.append(Roof(name=f"DRAM {number(peak)} GB/s", bytes_per_us=peak * 1e3))
    if finite(copy) is not None and copy:
        found.append(Roof(name=f"copy {number(copy)} GB/s", bytes_per_us=copy * 1e3, measured=True))
    if peaks is None or not flops:
        return tuple(found)
    most = max(flops, key=lambda one: one.count).precision
    suffix = "tops" if most == "int8" else "tflops"
    for field, label, measured in (
        (f"{most}_{suffix}", "peak", False),
        (f"{most}_matmul_{suffix}", "matmul", True),
    ):
        value = finite(getattr(peaks, field))
        if value is not None:
            name = f"{most} {label} {number(value)} T{'OP' if most == 'int8' else 'FLOP'}/s"
            found.append(Roof(name=name, work_per_us=value * 1e6, measured=measured))
    return tuple(found)


def _peak_on_a_page(transcript: Transcript) -> float | None:
    for attempt in machines.of_shown(transcript, transcript.attempts):
        for metric in attempt.page.metrics if attempt.page is not None else ():
            if metric.key == "dram_gbps" and metric.ceiling is not None:
                return metric.ceiling
    return None


def _scales(
    points: tuple[Point, ...], roofs: tuple[Roof, ...], width: float
) -> tuple[Scale, Scale]:
    """Frame the kernels, not the textbook: roofs beyond them are named in the description."""
    narrow = width < NARROW
    low, high = _around([point.intensity for point in points], least=4)
    lowest, highest = _around([point.rate for point in points], least=4)
    middle = math.sqrt(low * high)
    nearest = min(roof.at(middle) for roof in roofs)
    if nearest > 0:
        highest = max(highest, min(nearest * 1.5, highest * 20))
        lowest = min(lowest, max(nearest / 1.5, lowest / 20))
    right = 14.0 if narrow else 24.0
    return (
        Scale(low=low, high=high, start=54.0, end=width - right, log=True),
        Scale(low=lowest, high=highest, start=_height(width) - 44, end=14.0, log=True),
    )


def _around(values: list[float], *, least: float) -> tuple[float, float]:
    low, high = min(values) / 1.35, max(values) * 1.35
    grow = math.sqrt(max(1.0, least / (high / low)))
    return low / grow, high * grow


def _axes(x: Scale, y: Scale, unit: Unit) -> Markup:
    parts = []
    for tick in x.ticks(6):
        parts.append(rule(x(tick), y.start, x(tick), y.end, opacity=0.18))
        parts.append(text(x(tick), y.start + 16, number(tick), anchor="middle", size=11))
    for tick in y.ticks(6):
        parts.append(rule(x.start, y(tick), x.end, y(tick), opacity=0.18))
        shown = number(tick / unit.per_us)
        parts.append(text(x.start - 7, y(tick) + 4, shown, anchor="end", size=11))
    parts.append(
        text((x.start + x.end) / 2, y.start + 34, unit.intensity, anchor="middle", size=11)
    )
    parts.append(text(x.start + 4, y.end + 4, unit.rate, size=11))
    return join(*parts)


def _roof(x: Scale, y: Scale, roof: Roof, width: float) -> Markup:
    left, right = _clipped(x, y, roof)
    if left is None or right is None:
        return Markup("")
    x1, y1, x2, y2 = x(left), y(roof.at(left)), x(right), y(roof.at(right))
    line = tag(
        "line", tag("title", f"{roof.name} ({'measured' if roof.measured else 'datasheet'})"),
        x1=x1, y1=y1, x2=x2, y2=y2, class_="s floor", stroke=COLOURS["floor"], stroke_width=1.6,
        stroke_dasharray="5 4" if roof.measured else None,
    )  # fmt: skip
    label = _roof_label(x1, y1, x2, y2, roof, narrow=width < NARROW)
    return join(line, label)


def _clipped(x: Scale, y: Scale, roof: Roof) -> tuple[float | None, float | None]:
    """Return where the roof enters and leaves the picture, as intensities."""
    if roof.bytes_per_us is None:
        return (x.low, x.high) if y.holds(roof.at(x.low)) else (None, None)
    low, high = max(x.low, y.low / roof.bytes_per_us), min(x.high, y.high / roof.bytes_per_us)
    return (low, high) if low < high else (None, None)


def _roof_label(  # noqa: PLR0913 - two ends and what stands at them
    x1: float, y1: float, x2: float, y2: float, roof: Roof, *, narrow: bool
) -> Markup:  # fmt: skip
    size = 10.0 if narrow else 11.0
    name = roof.name.split()[0] if narrow else roof.name
    if roof.bytes_per_us is None:
        return text(x2 - 4, y2 - 5, name, anchor="end", ink="floor", size=size)
    # The datasheet's roof is named above its line, the measured one below it.
    side = 1 if roof.measured else -1
    along = 0.16
    at_x, at_y = x1 + (x2 - x1) * along, y1 + (y2 - y1) * along
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    label = text(0, 4 + side * 10.0, name, ink="floor", size=size)
    return tag("g", label, transform=f"translate({at_x:.1f} {at_y:.1f}) rotate({angle:.1f})")


def _points(
    x: Scale,
    y: Scale,
    points: tuple[Point, ...],
    best: Attempt | None,
    anchors: str | None,
) -> Markup:
    """Draw the baselines with their names to the left, the attempts with their numbers right."""
    baselines = [point for point in points if point.attempt is None]
    attempts = [point for point in points if point.attempt is not None]
    parts = []
    for point, label in zip(baselines, _apart(baselines, y), strict=True):
        at_x, at_y = x(point.intensity), y(point.rate)
        named = text(at_x - 15, label + 4, point.label, anchor="end", size=11)
        parts += [_square(at_x, at_y, point), _leader(at_x, at_y, -1, label), named]
    nameable = _nameable(x, y, attempts, best)
    for point in attempts:
        at_x, at_y = x(point.intensity), y(point.rate)
        name = point.label if point in nameable else ""
        parts.append(_attempt(at_x, at_y, name, point, best=best, anchors=anchors))
    return join(*parts)


def _nameable(x: Scale, y: Scale, points: list[Point], best: Attempt | None) -> list[Point]:
    """Return the points with room for a number beside them, the best's before the fastest's.

    Where attempts crowd, leaders to numbers elsewhere hide more than they say; the others keep
    their tooltip, and their row in the table.
    """
    places = [(x(point.intensity), y(point.rate)) for point in points]
    order = sorted(range(len(points)), key=lambda i: (not _is(points[i], best), -points[i].rate))
    named: list[int] = []
    for i in order:
        covered = any(_lies_behind(places[i], mark) for mark in places)
        if (_is(points[i], best) or not covered) and not any(
            _overlap(places[i], places[other]) for other in named
        ):
            named.append(i)
    return [points[i] for i in named]


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether numbers beside two places would be written over each other."""
    return abs(a[0] - b[0]) < LABEL_WIDTH and abs(a[1] - b[1]) < LABEL_HEIGHT


def _lies_behind(place: tuple[float, float], mark: tuple[float, float]) -> bool:
    """Whether the number beside a place would lie under a mark."""
    return MARK < mark[0] - place[0] < MARK + LABEL_WIDTH and abs(mark[1] - place[1]) < LABEL_HEIGHT


def _is(point: Point, best: Attempt | None) -> bool:
    return best is not None and point.attempt is not None and point.attempt.number == best.number


def _apart(points: list[Point], y: Scale) -> list[float]:
    return spread([y(point.rate) for point in points], gap=LABEL_HEIGHT, low=y.end, high=y.start)


def _leader(x: float, y: float, side: int, label: float) -> Markup:
    return rule(x + side * 6, y, x + side * 13, label, opacity=0.5)


def _attempt(  # noqa: PLR0913 - a place, a name and what stands there
    x: float,
    y: float,
    name: str,
    point: Point,
    *,
    best: Attempt | None,
    anchors: str | None,
) -> Markup:
    attempt = point.attempt
    assert attempt is not None  # noqa: S101 - baselines were drawn before
    ink = "best" if _is(point, best) else "ink"
    named = text(x + 12, y + 4, name, size=11, ink=ink, weight="600") if name else Markup()
    return link(attempt, join(sign(x, y, attempt, best), named), anchors)


def _square(x: float, y: float, point: Point) -> Markup:
    return tag(
        "rect", tag("title", f"{point.label}, at the bytes the operation needs"),
        x=x - 4, y=y - 4, width=8.0, height=8.0, class_="s h ink", fill="transparent",
        stroke=COLOURS["ink"], stroke_width=1.6,
    )  # fmt: skip


def _described(points: tuple[Point, ...], roofs: tuple[Roof, ...], unit: Unit, note: str) -> str:
    roofed = "; ".join(roof.name for roof in roofs)
    named = [
        f"{'attempt ' if point.attempt is not None else ''}{point.label} "
        f"{number(point.rate / unit.per_us)} {unit.rate} at {number(point.intensity)}"
        for point in points
    ]
    said = f"Roofs: {roofed}. Kernels: {'; '.join(named)}."
    return f"{said} {note[0].upper()}{note[1:]}." if note else said
