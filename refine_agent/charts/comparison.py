"""Several runs side by side: the best kernel of each, with its interval, on one axis.

Whether runs may be compared at all (same problem, same device) is said by the table beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine_agent.charts.marks import COLOURS, NARROW, finite, rule, text
from refine_agent.charts.svg import TIMES, Markup, Scale, factor, fit, join, number, picture, tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refine_agent.rows import RunRow

ROW = 26.0
MOST_RUNS = 60
NAME_PX = 11.0
# Names of runs and devices are digits and capitals, wider than most letters by about this.
WIDER = 0.95


def comparison(runs: Sequence[RunRow], *, width: float = 760) -> Markup:
    """Draw each run's best speedup against its faster baseline, best first."""
    shown = sorted(runs, key=lambda run: run.speedup or 0.0, reverse=True)[:MOST_RUNS]
    values = [v for run in shown for v in (run.speedup_low, run.speedup_high) if finite(v)]
    values += [floor for run in shown if (floor := _floor(run)) is not None]
    known = [1.0, *(value for value in values if value is not None)]
    left = 140.0 if width < NARROW else 250.0
    x = Scale(
        low=min(known) / 1.12, high=max(known) * 1.12, start=left, end=width - 62, log=True
    )  # fmt: skip
    bottom = 10 + ROW * len(shown)
    names = _names(shown)
    return picture(
        _axis(x, bottom),
        *(
            _row(x, 10 + ROW * (place + 0.5), run, name, left)
            for place, (run, name) in enumerate(zip(shown, names, strict=True))
        ),
        width=width,
        height=bottom + 40,
        title="Best kernel of each run",
        desc=_described(shown),
        kind="comparison",
    )


def _floor(run: RunRow) -> float | None:
    """Return the speedup that would reach the run's floor."""
    if run.speedup is None or run.floor_ratio is None:
        return None
    return finite(run.speedup * run.floor_ratio)


def _axis(x: Scale, bottom: float) -> Markup:
    parts = [rule(x(1.0), 6, x(1.0), bottom, width=1.4)]
    for tick in x.ticks(6):
        parts.append(rule(x(tick), 6, x(tick), bottom, opacity=0.2))
        parts.append(text(x(tick), bottom + 15, f"{number(tick)}{TIMES}", anchor="middle", size=11))
    label = "speedup against the faster of eager and torch.compile"
    parts.append(text((x.start + x.end) / 2, bottom + 32, label, anchor="middle", size=11))
    return join(*parts)


def _names(shown: Sequence[RunRow]) -> list[str]:
    """Return the shortest of what tells the runs apart."""
    several = len({run.problem for run in shown}) > 1
    ways = (
        [run.problem for run in shown],
        [f"{run.problem} · {run.model}" for run in shown],
        [f"{run.problem} · {run.device or 'no device'}" for run in shown],
    )
    for names in ways:
        if len(set(names)) == len(names):
            return names
    return [f"{run.problem} · {run.run}" if several else run.run for run in shown]


def _row(x: Scale, y: float, run: RunRow, name: str, left: float) -> Markup:
    parts = [
        text(left - 10, y + 4, fit(name, WIDER * (left - 12)), anchor="end", size=NAME_PX),
        rule(x.start, y, x.end, y, opacity=0.15),
    ]
    speedup, low, high = finite(run.speedup), finite(run.speedup_low), finite(run.speedup_high)
    if speedup is None or low is None or high is None:
        parts.append(text(x(1.0) + 8, y + 4, "nothing passed", ink="failed", size=11))
        return join(*parts)
    ink = "doubtful" if run.doubtful or run.weak else "best" if speedup > 1 else "model"
    floor = _floor(run)
    if floor is not None:
        parts.append(rule(x(floor), y - 8, x(floor), y + 8, ink="floor", dash="3 2", width=1.6))
    parts.append(rule(x(low), y, x(high), y, ink=ink, width=3))
    hollow = ink == "doubtful"
    parts.append(
        tag(
            "circle",
            tag("title", f"{run.run}: {factor(speedup)} ({factor(low)} to {factor(high)})"),
            cx=x(speedup),
            cy=y,
            r=5.0,
            fill="transparent" if hollow else COLOURS[ink],
            stroke=COLOURS[ink],
            stroke_width=1.8,
            class_=f"{'s h' if hollow else 'f'} {ink}",
        )
    )
    parts.append(text(x.end + 8, y + 4, factor(speedup) + ("?" if hollow else ""), size=12))
    return join(*parts)


def _described(shown: Sequence[RunRow]) -> str:
    said = [
        f"{run.problem}, {run.model}: {factor(run.speedup) if run.speedup else 'none passed'}"
        for run in shown
    ]
    return "; ".join(said)
