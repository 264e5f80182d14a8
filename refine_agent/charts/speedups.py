"""The picture of a run: how fast each attempt was, between the baselines and the floor.

It owns what lies on which axis; marks come from `marks`, numbers from the transcript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from refine_agent import ranking
from refine_agent.charts import machines
from refine_agent.charts.marks import (
    COLOURS,
    NARROW,
    drawn,
    finite,
    link,
    rule,
    sign,
    standing,
    text,
    word,
)
from refine_agent.charts.svg import (
    TIMES,
    Markup,
    Scale,
    factor,
    fit,
    join,
    number,
    picture,
    spread,
    tag,
)
from refine_agent.legible import phrase
from refine_agent.rows import outcome

if TYPE_CHECKING:
    from refine_agent.records import Attempt, Passed
    from refine_agent.transcript import Transcript

# The line below the plot that says whose levels are shown, where machines differ.
NOTE = 16.0
# Where words under neighbouring marks would touch, the words stay in the tooltips.
WORD_PX = 48
# The band above the plot for speedups that nobody believes.
ABOVE = 26.0


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A level to compare with, as a speedup against the faster baseline."""

    name: str
    short: str
    speedup: float
    ink: str = "faint"
    dash: str | None = "5 4"


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """Where the plot lies in the picture, and what its axes mean."""

    width: float
    height: float
    note: str
    left: float
    right: float
    top: float
    bottom: float
    y: Scale
    turns: tuple[int, ...]

    @property
    def slot(self) -> float:
        """The width of one turn, in pixels."""
        return (self.width - self.left - self.right) / max(len(self.turns), 1)

    def x(self, turn: int) -> float:
        """Return the middle of a turn's slot."""
        return self.left + (self.turns.index(turn) + 0.5) * self.slot

    @property
    def end(self) -> float:
        """The right edge of the plot."""
        return self.width - self.right


def speedups(transcript: Transcript, *, width: float = 760, anchors: str | None = None) -> Markup:
    """Draw each attempt's speedup with its interval, against eager, torch.compile and the floor.

    ``anchors`` is the prefix of the ids that marks link to; without it they are not links.
    """
    shown, references = drawn(transcript), references_of(transcript)
    frame = _frame(shown, references, width, note=_whose(transcript))
    best = transcript.best
    return picture(
        _grid(frame),
        _references(frame, references),
        _best_so_far(frame, shown),
        *(_attempt(frame, attempt, shown, best, anchors) for attempt in shown),
        _turns(frame, shown),
        _note(frame),
        width=frame.width,
        height=frame.height,
        title=f"Speedup per turn: {phrase(transcript.problem.name, chars=80)}",
        desc=described(transcript),
        kind="speedups",
    )


def described(transcript: Transcript) -> str:
    """Return the picture in words, for those who cannot see it."""
    shown = drawn(transcript)
    passed = sum(outcome(attempt) is not None for attempt in shown)
    best = transcript.best
    lines = [f"{len(shown)} attempts, {passed} passed."]
    if best is not None:
        lines.append(f"The best is attempt {best.number} at {factor(best.speedup)}.")
    levels = ", ".join(f"{r.name} at {factor(r.speedup)}" for r in references_of(transcript))
    note = _whose(transcript)
    lines += [f"Levels: {levels}."] if levels else []
    return " ".join([*lines, f"{note[0].upper()}{note[1:]}."] if note else lines)


def _whose(transcript: Transcript) -> str:
    """Ratios were measured beside the baselines of their own machine; levels are only one's."""
    return machines.of_one_machine(transcript, what="levels", fate="judged elsewhere")


def references_of(transcript: Transcript) -> tuple[Reference, ...]:
    """Return the levels the best kernel is held against; the faster baseline beside it is 1."""
    setup = transcript.setup_of_best
    if setup is None:
        return ()
    eager, compiled = setup.baseline.eager, setup.baseline.compiled
    one = min(timing.median_us for timing in (eager, compiled) if timing is not None)
    levels = (
        _level("eager", "eager", eager.median_us, one),
        _level("torch.compile", "compile", compiled.median_us if compiled else None, one),
        _level("floor, measured", "floor", setup.floor_us, one, ink="floor", dash="5 4"),
        _level("bound, datasheet", "bound", setup.bound_us, one, ink="floor", dash="2 4"),
    )
    found = [level for level in levels if level is not None]
    target = finite(transcript.options.budget.target)
    if target is not None:
        found.append(
            Reference(name=f"target {factor(target)}", short="target", speedup=target, ink="target")
        )
    return tuple(found)


def _level(  # noqa: PLR0913 - a name in two lengths, a place and a style
    name: str,
    short: str,
    us: float | None,
    one: float,
    *,
    ink: str = "faint",
    dash: str | None = None,
) -> Reference | None:
    if finite(us) is None or not us or finite(one / us) is None:
        return None
    return Reference(
        name=f"{name} {number(us)} µs", short=short, speedup=one / us, ink=ink, dash=dash
    )


def _frame(
    shown: tuple[Attempt, ...], references: tuple[Reference, ...], width: float, *, note: str
) -> Frame:
    narrow = width < NARROW
    height, top, bottom = (270.0, 14.0, 62.0) if narrow else (330.0, 16.0, 66.0)
    values = [reference.speedup for reference in references]
    for attempt in shown:
        passed = _credible(attempt)
        if passed is not None:
            values += [passed.speedup.low, passed.speedup.value, passed.speedup.high]
    known = [value for value in values if finite(value) is not None] or [0.5, 2.0]
    low, high = min(known), max(known)
    margin = max((high / low) ** 0.06, 1.03)
    if any(_speedup(attempt) > high * margin for attempt in shown):
        top, height = top + ABOVE, height + ABOVE
    if note:
        bottom, height = bottom + NOTE, height + NOTE
    return Frame(
        width=width,
        height=height,
        note=note,
        left=42.0,
        right=58.0 if narrow else 168.0,
        top=top,
        bottom=bottom,
        y=Scale(low=low / margin, high=high * margin, start=height - bottom, end=top, log=True),
        turns=tuple(sorted({attempt.turn for attempt in shown})),
    )


def _speedup(attempt: Attempt) -> float:
    passed = outcome(attempt)
    return (finite(passed.speedup.value) or 0.0) if passed is not None else 0.0


def _credible(attempt: Attempt) -> Passed | None:
    """Only what is believed sets the scale: a cheat at 4000x must not flatten everyone else."""
    passed = attempt.passed
    return passed if passed is not None and not passed.suspicions else None


def _grid(frame: Frame) -> Markup:
    lines = []
    for tick in frame.y.ticks(6):
        y = frame.y(tick)
        lines.append(rule(frame.left, y, frame.end, y, opacity=0.22))
        lines.append(text(frame.left - 7, y + 4, f"{number(tick)}{TIMES}", anchor="end", size=11))
    return join(*lines)


def _references(frame: Frame, references: tuple[Reference, ...]) -> Markup:
    narrow = frame.width < NARROW
    ys = [frame.y(reference.speedup) for reference in references]
    labels = spread(ys, gap=14, low=frame.top, high=frame.height - frame.bottom)
    parts = []
    for reference, y, label in zip(references, ys, labels, strict=True):
        parts.append(
            rule(frame.left, y, frame.end, y, ink=reference.ink, dash=reference.dash, width=1.3)
        )
        parts.append(rule(frame.end, y, frame.end + 7, label, ink=reference.ink, opacity=0.6))
        words = reference.short if narrow else reference.name
        parts.append(text(frame.end + 10, label + 4, words, ink=reference.ink, size=11))
    return join(*parts)


def _best_so_far(frame: Frame, shown: tuple[Attempt, ...]) -> Markup:
    """Draw the staircase of the best kernel, so that turns that brought nothing show as flat."""
    champion, path = None, ""
    for attempt in shown:
        passed = _credible(attempt)
        if passed is None or finite(passed.speedup.value) is None:
            continue
        if champion is not None and not ranking.beats(attempt, champion):
            continue
        x, y = frame.x(attempt.turn), frame.y(passed.speedup.value)
        path += f"M{x:.1f} {y:.1f}" if not path else f"H{x:.1f}V{y:.1f}"
        champion = attempt
    if not path:
        return Markup("")
    return tag(
        "path",
        d=f"{path}H{frame.end:.1f}",
        class_="s best",
        fill="none",
        stroke=COLOURS["best"],
        stroke_width=1.6,
        stroke_opacity=0.55,
    )


def _attempt(
    frame: Frame,
    attempt: Attempt,
    shown: tuple[Attempt, ...],
    best: Attempt | None,
    anchors: str | None,
) -> Markup:
    x, passed = _x_of(frame, attempt, shown), outcome(attempt)
    value = finite(passed.speedup.value) if passed is not None else None
    if passed is None or value is None:
        mark = sign(x, frame.height - frame.bottom + 16, attempt, best)
        return link(attempt, mark, anchors)
    if not frame.y.holds(value):
        return link(attempt, _off_the_scale(frame, x, value, attempt, best), anchors)
    parts = [_whisker(frame, x, passed, attempt), sign(x, frame.y(value), attempt, best)]
    if best is not None and attempt.number == best.number:
        y = frame.y(value)
        below = y - 14 < frame.top
        words = factor(value)
        parts.append(
            text(x, y + (24 if below else -14), words, anchor="middle", ink="best", weight="600")
        )
    return link(attempt, join(*parts), anchors)


def _x_of(frame: Frame, attempt: Attempt, shown: tuple[Attempt, ...]) -> float:
    """Samples of one turn stand side by side within its slot."""
    together = [other.number for other in shown if other.turn == attempt.turn]
    step = min(14.0, frame.slot / (len(together) + 1))
    offset = together.index(attempt.number) - (len(together) - 1) / 2
    return frame.x(attempt.turn) + offset * step


def _whisker(frame: Frame, x: float, passed: Passed, attempt: Attempt) -> Markup:
    low, high = finite(passed.speedup.low), finite(passed.speedup.high)
    if low is None or high is None:
        return Markup("")
    top, bottom = frame.y(high), frame.y(low)
    ink = attempt.author
    return join(
        rule(x, top, x, bottom, ink=ink, width=1.4),
        rule(x - 4, top, x + 4, top, ink=ink, width=1.4),
        rule(x - 4, bottom, x + 4, bottom, ink=ink, width=1.4),
    )


def _off_the_scale(
    frame: Frame, x: float, value: float, attempt: Attempt, best: Attempt | None
) -> Markup:
    """What is not believed stands outside the plot, with its number and why."""
    above = value > frame.y.high
    y = frame.top - ABOVE / 2 - 2 if above else frame.y.start - 10
    why = "vetoed" if attempt.veto is not None else "doubtful"
    words = f"{factor(value)}, {why}" if frame.slot >= WORD_PX else factor(value)
    left = x < (frame.left + frame.end) / 2
    beside = text(x + 12 if left else x - 12, y + 4, words, anchor="start" if left else "end")
    return join(sign(x, y, attempt, best), beside)


def _turns(frame: Frame, shown: tuple[Attempt, ...]) -> Markup:
    band = frame.height - frame.bottom
    parts = [rule(frame.left, band, frame.end, band, opacity=0.5)]
    every = max(1, int(18 / frame.slot) + 1) if frame.slot < 18 else 1  # noqa: PLR2004 - two digits
    for place, turn in enumerate(frame.turns):
        attempts = [attempt for attempt in shown if attempt.turn == turn]
        failed = [a for a in attempts if standing(a, None) in {"failed", "pending"}]
        if failed and frame.slot >= WORD_PX:
            final = failed[0].sealed if failed[0].sealed is not None else failed[0].verdict
            words = word(final)
            parts.append(
                text(frame.x(turn), band + 33, words, anchor="middle", ink="failed", size=10.5)
            )
        if place % every == 0:
            label = f"{turn}" if len(f"{turn}") < 6 else "…"  # noqa: PLR2004 - a slot's width
            parts.append(text(frame.x(turn), band + 47, label, anchor="middle", size=11))
    middle = (frame.left + frame.end) / 2
    parts.append(text(middle, band + 61, "turn", anchor="middle", size=11))
    return join(*parts)


def _note(frame: Frame) -> Markup:
    if not frame.note:
        return Markup("")
    words = fit(frame.note, frame.width - 8)
    return text(frame.width / 2, frame.height - 5, words, anchor="middle", size=11)
