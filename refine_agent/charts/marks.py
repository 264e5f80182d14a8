"""How an attempt stands and how it is marked: the same sign for the same thing in every picture.

Shape and colour both tell, so that no picture needs colour to be read; where marks go is left to
the pictures.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, assert_never

from refine_agent.charts.svg import Markup, factor, join, tag
from refine_agent.legible import phrase
from refine_agent.records import (
    BuildFailed,
    Crashed,
    Disqualified,
    Mismatch,
    Passed,
    TimedOut,
    Unreadable,
    headline,
)
from refine_agent.rows import outcome

if TYPE_CHECKING:
    from refine_agent.records import AnyVerdict, Attempt
    from refine_agent.transcript import Transcript

Standing = Literal["best", "passed", "doubtful", "vetoed", "failed", "pending"]

# Mid tones that hold against white and black; a page's style sheet replaces them by class.
COLOURS = {
    "model": "#2f74d0",
    "engineer": "#c06a00",
    "agent": "#8a4fc7",
    "best": "#12805c",
    "doubtful": "#b07d00",
    "vetoed": "#7d8590",
    "failed": "#cf3d32",
    "pending": "#7d8590",
    "ink": "#6a737d",
    "strong": "#59616b",
    "faint": "#8b949e",
    "target": "#8250df",
    "floor": "#12805c",
}
# A picture of a thousand attempts shows none of them.
MOST_DRAWN = 120
NARROW = 500


def standing(attempt: Attempt, best: Attempt | None) -> Standing:
    """Return how an attempt stands in its run."""
    if attempt.verdict is None:
        return "pending"
    passed = outcome(attempt)
    if passed is None:
        return "failed"
    if attempt.veto is not None:
        return "vetoed"
    if passed.suspicions:
        return "doubtful"
    return "best" if best is not None and attempt.number == best.number else "passed"


def drawn(transcript: Transcript) -> tuple[Attempt, ...]:
    """Return the attempts that a picture shows: the last ones where there are too many."""
    return transcript.attempts[-MOST_DRAWN:]


def word(verdict: AnyVerdict | None) -> str:  # noqa: PLR0911 - one word per verdict is the point
    """Return the verdict in one word, for where there is no room for two."""
    match verdict:
        case None:
            return "pending"
        case Passed():
            return "passed"
        case Mismatch():
            return "wrong"
        case BuildFailed():
            return "no build"
        case Crashed():
            return "crashed"
        case TimedOut():
            return "hung"
        case Disqualified():
            return "barred"
        case Unreadable():
            return "unread"
        case _:
            assert_never(verdict)


def finite(value: float | None) -> float | None:
    """Return a number that can be placed on a logarithmic axis, or ``None``."""
    if value is None or not math.isfinite(value) or not 1e-12 < value < 1e15:  # noqa: PLR2004
        return None
    return value


def tooltip(attempt: Attempt, best: Attempt | None) -> str:
    """Return an attempt in a sentence or two."""
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    said = headline(final) if final is not None else "not judged yet"
    parts = [f"attempt {attempt.number} ({attempt.author}): {phrase(said)}"]
    passed = outcome(attempt)
    if passed is not None:
        parts.append(
            f"{factor(passed.speedup.low)} to {factor(passed.speedup.high)}, "
            f"{factor(passed.vs_eager.value)} against eager, n = {passed.timing.samples}"
        )
        parts += [f"doubtful: {phrase(doubt.kind)}" for doubt in passed.suspicions]
    if attempt.veto is not None:
        parts.append(f"vetoed: {phrase(attempt.veto)}")
    if standing(attempt, best) == "best":
        parts.append("the best of this run" + (", sealed" if attempt.sealed is not None else ""))
    if attempt.candidate is not None and attempt.candidate.idea:
        parts.append(phrase(attempt.candidate.idea))
    return "\n".join(parts)


def link(attempt: Attempt, inside: Markup, anchors: str | None) -> Markup:
    """Return a mark that leads to the attempt's details, where the page has them."""
    if anchors is None:
        return inside
    return tag("a", inside, href=f"#{anchors}-{attempt.number}")


def sign(x: float, y: float, attempt: Attempt, best: Attempt | None, *, size: float = 5) -> Markup:
    """Return the attempt's mark: who wrote it by shape, how it stands by colour and filling."""
    how = standing(attempt, best)
    tip = tag("title", tooltip(attempt, best))
    if how in {"failed", "pending"}:
        return _cross(x, y, how, tip, size=size * 0.9)
    name = attempt.author if how == "passed" else how
    style = _style(name, hollow=how in {"doubtful", "vetoed"})
    mark = _shape(x, y, attempt, tip, size=size, style=style)
    if how == "best":
        ring = tag("circle", cx=x, cy=y, r=size + 4, stroke_width=1.5, **_outline("best"))
        return join(ring, mark)
    if how == "vetoed":
        return join(mark, _strike(x, y, size + 3))
    return mark


def _shape(  # noqa: PLR0913 - a mark and where it goes
    x: float, y: float, attempt: Attempt, tip: Markup, *, size: float, style: dict[str, str]
) -> Markup:
    """Return a disc for the model's, a diamond for the engineer's, a square for an agent's."""
    if attempt.author == "model":
        return tag("circle", tip, cx=x, cy=y, r=size, **style)
    if attempt.author == "agent":
        side = size * 0.9
        return tag("rect", tip, x=x - side, y=y - side, width=2 * side, height=2 * side, **style)
    reach = size * 1.3
    path = (
        f"M{x:.1f} {y - reach:.1f}l{reach:.1f} {reach:.1f}-{reach:.1f} {reach:.1f}"
        f"-{reach:.1f}-{reach:.1f}z"
    )
    return tag("path", tip, d=path, **style)


def _style(name: str, *, hollow: bool) -> dict[str, str]:
    if hollow:
        return {"class_": f"s h {name}", "fill": "transparent", "stroke": COLOURS[name]}
    return {"class_": f"f {name}", "fill": COLOURS[name]}


def _outline(name: str) -> dict[str, str]:
    return {"class_": f"s {name}", "fill": "none", "stroke": COLOURS[name]}


def _cross(x: float, y: float, name: str, tip: Markup, *, size: float) -> Markup:
    path = (
        f"M{x - size:.1f} {y - size:.1f}L{x + size:.1f} {y + size:.1f}"
        f"M{x - size:.1f} {y + size:.1f}L{x + size:.1f} {y - size:.1f}"
    )
    return tag("path", tip, d=path, stroke_width=2.2, stroke_linecap="round", **_outline(name))


def _strike(x: float, y: float, reach: float) -> Markup:
    path = f"M{x - reach:.1f} {y + reach:.1f}L{x + reach:.1f} {y - reach:.1f}"
    return tag("path", d=path, stroke_width=1.6, **_outline("vetoed"))


def text(  # noqa: PLR0913 - what SVG text needs
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    ink: str = "ink",
    size: float = 12,
    weight: str | None = None,
) -> Markup:
    """Return a line of text in one of the inks."""
    return tag(
        "text", words, x=x, y=y, text_anchor=anchor, class_=f"t {ink}",
        fill=COLOURS[ink], font_size=size, font_weight=weight,
    )  # fmt: skip


def rule(  # noqa: PLR0913 - two ends and a style
    x1: float, y1: float, x2: float, y2: float, *, ink: str = "faint", dash: str | None = None,
    width: float = 1, opacity: float | None = None,
) -> Markup:  # fmt: skip
    """Return a straight line in one of the inks."""
    return tag(
        "line", x1=x1, y1=y1, x2=x2, y2=y2, class_=f"s {ink}", stroke=COLOURS[ink],
        stroke_width=width, stroke_dasharray=dash, stroke_opacity=opacity,
    )  # fmt: skip
