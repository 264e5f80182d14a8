"""Where the seconds of each turn went, as stacked bars.

The ledger's numbers are the loop's; this only stacks them in the order in which they happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from refine_agent.charts.marks import MOST_DRAWN, finite, rule, text
from refine_agent.charts.svg import CHAR_PX, Markup, Scale, join, number, picture, tag
from refine_agent.legible import phrase
from refine_agent.records import TurnClosed

if TYPE_CHECKING:
    from refine_agent.transcript import Transcript

# Waiting for the model is grey: it is the one part that no work of ours shortens.
COLOURS = {
    "model": "#a8b0ba",
    "build": "#3f7fd0",
    "load": "#58b0c4",
    "check": "#3f9d6b",
    "timing": "#e0a826",
    "profile": "#9a6fc4",
    "trace": "#c48fd8",
    "seal": "#dd7a3c",
    "overhead": "#6a737d",
}
OTHERS = ("#c95f86", "#7a8f2a", "#2a8f86", "#8f5a2a")
ROW = 24.0


def ledger(transcript: Transcript, *, width: float = 760) -> Markup:
    """Draw a bar per closed turn; empty before the first turn is closed."""
    closed = [event for event in transcript.events if isinstance(event, TurnClosed)]
    turns = [turn for turn in closed if turn.ledger][-MOST_DRAWN:]
    if not turns:
        return Markup("")
    names = _names(turns)
    key, key_height = _key(names, width)
    top = key_height + 6
    height = top + ROW * len(turns) + 34
    longest = max(_seconds(turn) for turn in turns) or 1.0
    x = Scale(low=0, high=longest * 1.02, start=58.0, end=width - 58)
    return picture(
        key,
        _axis(x, top, top + ROW * len(turns)),
        *(_bar(x, top + ROW * place, turn, names) for place, turn in enumerate(turns)),
        width=width,
        height=height,
        title="Seconds per turn by phase",
        desc=_described(turns),
        kind="ledger",
    )


def colour(name: str, names: list[str]) -> str:
    """Return a phase's colour, the same in every run for the phases that every run has."""
    unknown = [other for other in names if other not in COLOURS]
    return COLOURS.get(name) or OTHERS[unknown.index(name) % len(OTHERS)]


def _names(turns: list[TurnClosed]) -> list[str]:
    found = dict.fromkeys(phase.name for turn in turns for phase in turn.ledger)
    known = [name for name in COLOURS if name in found]
    return known + [name for name in found if name not in COLOURS]


def _seconds(turn: TurnClosed) -> float:
    return sum(finite(phase.seconds) or 0.0 for phase in turn.ledger)


def _key(names: list[str], width: float) -> tuple[Markup, float]:
    x, y, parts = 58.0, 4.0, []
    for name in names[: len(COLOURS) + len(OTHERS)]:
        shown = phrase(name, chars=24)
        room = 18 + len(shown) * CHAR_PX + 12
        if x + room > width and x > 58:  # noqa: PLR2004 - the left edge, above
            x, y = 58.0, y + 20
        parts.append(_swatch(x, y, 11, name, colour(name, names)))
        parts.append(text(x + 16, y + 10, shown, size=11))
        x += room
    return join(*parts), y + 20


def _swatch(x: float, y: float, size: float, name: str, fill: str) -> Markup:
    return tag(
        "rect", x=x, y=y, width=size, height=size, rx=2.0, fill=fill, class_=f"phase {_css(name)}"
    )


def _css(name: str) -> str:
    return f"p-{name}" if name in COLOURS else "p-other"


def _axis(x: Scale, top: float, bottom: float) -> Markup:
    parts = []
    for tick in x.ticks(6):
        parts.append(rule(x(tick), top, x(tick), bottom, opacity=0.2))
        parts.append(text(x(tick), bottom + 15, number(tick), anchor="middle", size=11))
    parts.append(text((x.start + x.end) / 2, bottom + 30, "seconds", anchor="middle", size=11))
    return join(*parts)


def _bar(x: Scale, y: float, turn: TurnClosed, names: list[str]) -> Markup:
    label = f"turn {turn.turn}" if turn.turn < 1000 else "turn …"  # noqa: PLR2004 - its width
    parts, since = [text(x.start - 8, y + 15, label, anchor="end", size=11)], 0.0
    for phase in turn.ledger:
        seconds = finite(phase.seconds)
        if seconds is None:
            continue
        left, right = x(since), x(since + seconds)
        parts.append(
            tag(
                "rect",
                tag("title", f"{phrase(phase.name)}: {number(seconds)} s"),
                x=left,
                y=y + 3,
                width=max(0.0, right - left - 0.7),
                height=ROW - 8,
                fill=colour(phase.name, names),
                class_=f"phase {_css(phase.name)}",
            )
        )
        since += seconds
    parts.append(text(x(since) + 6, y + 15, f"{number(since)} s", size=11))
    return join(*parts)


def _described(turns: list[TurnClosed]) -> str:
    said = []
    for turn in turns[:20]:
        parts = ", ".join(f"{phrase(p.name)} {number(p.seconds)} s" for p in turn.ledger[:12])
        said.append(f"Turn {turn.turn}: {parts}.")
    return " ".join(said)
