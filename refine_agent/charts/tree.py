"""The tree of turns: who revised what, and where the engineer stepped in, one line per event.

It lays lanes like a version control log, newest last; the details of a turn are the report's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from refine_agent.charts.marks import (
    COLOURS,
    MOST_DRAWN,
    NARROW,
    drawn,
    link,
    sign,
    standing,
    text,
)
from refine_agent.charts.svg import Markup, factor, fit, join, picture, tag
from refine_agent.legible import phrase
from refine_agent.records import (
    Changed,
    Failed,
    Hinted,
    Moved,
    Offered,
    Replied,
    Stopped,
    Vetoed,
    headline,
)
from refine_agent.rows import outcome

if TYPE_CHECKING:
    from refine_agent.records import AnyEvent, Attempt
    from refine_agent.transcript import Transcript

ROW, LANE, LEFT, TOP = 27.0, 19.0, 14.0, 10.0
MOST_LANES = 8


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the log: an attempt, or a thing somebody said or did."""

    text: str
    attempt: Attempt | None = None
    lane: int = 0


def tree(transcript: Transcript, *, width: float = 760, anchors: str | None = None) -> Markup:
    """Draw attempts as a graph of who revised whom, with hints, vetoes and moves between them."""
    parents = parents_of(transcript)
    lanes = lanes_of(parents, transcript.best)
    lines = _lines(transcript, lanes)
    rows = {line.attempt.number: at for at, line in enumerate(lines) if line.attempt is not None}
    used = max((line.lane for line in lines), default=0) + 1
    indent, best = LEFT + LANE * used, transcript.best
    return picture(
        *(_edge(number, parents.get(number), rows, lanes) for number in rows),
        _root(_y(0)),
        *(
            _line(line, place, best, indent=indent, width=width, anchors=anchors)
            for place, line in enumerate(lines)
        ),
        width=width,
        height=TOP * 2 + ROW * len(lines),
        title="The tree of turns",
        desc=_described(transcript, parents),
        kind="tree",
    )


def parents_of(transcript: Transcript) -> dict[int, int | None]:
    """Return what each drawn attempt revises; ``None`` is the reference, or what is not drawn."""
    shown = drawn(transcript)
    known = {attempt.number for attempt in shown}
    parents: dict[int, int | None] = {}
    for attempt in shown:
        parent = attempt.candidate.parent if attempt.candidate is not None else None
        earlier = parent is not None and parent in known and parent < attempt.number
        parents[attempt.number] = parent if earlier else None
    return parents


def lanes_of(parents: dict[int, int | None], best: Attempt | None) -> dict[int, int]:
    """Return each attempt's lane: the line of the best kernel runs straight, others branch off."""
    heirs, lanes = _heirs(parents, best), dict[int, int]()
    taken: list[list[range]] = []  # by lane, the stretches of attempts that it is drawn along
    for attempt, parent in parents.items():
        known = lanes.get(parent, -1) if parent is not None else -1
        start = parent if parent is not None else 0
        if heirs.get(parent) == attempt:
            lane = max(known, 0)
        else:
            lane = _free(taken, range(start + 1, attempt + 1), above=known)
        lane = lanes[attempt] = min(lane, MOST_LANES - 1)
        taken += [[] for _ in range(lane + 1 - len(taken))]
        taken[lane].append(range(start, attempt + 1))
    return lanes


def _heirs(parents: dict[int, int | None], best: Attempt | None) -> dict[int | None, int]:
    """Return which child goes on in its parent's lane: the best kernel's ancestor, or the last."""
    heirs = {parent: attempt for attempt, parent in parents.items()}
    at = best.number if best is not None and best.number in parents else None
    while at is not None:
        heirs[parents[at]] = at
        at = parents[at]
    return heirs


def _free(taken: list[list[range]], stretch: range, *, above: int) -> int:
    """Return the first lane beside the parent's along which nothing is drawn yet."""
    for lane in range(above + 1, len(taken)):
        if all(used.stop <= stretch.start or used.start >= stretch.stop for used in taken[lane]):
            return lane
    return max(len(taken), above + 1)


def _lines(transcript: Transcript, lanes: dict[int, int]) -> list[Line]:
    lines = [Line(text=f"reference: {phrase(transcript.problem.name, chars=80)}")]
    for event in transcript.events:
        line = _line_of(event, transcript, lanes)
        if line is not None:
            lines.append(line)
    return lines if len(lines) <= MOST_DRAWN else [lines[0], *lines[-MOST_DRAWN:]]


def _line_of(
    event: AnyEvent, transcript: Transcript, lanes: dict[int, int]
) -> Line | None:  # fmt: skip
    if isinstance(event, Replied | Offered):
        attempt = transcript.attempt(event.attempt)
        return Line(text=_said_of(attempt), attempt=attempt, lane=lanes.get(attempt.number, 0))
    # A stop that somebody went on after is an interval, not a step.
    paused = isinstance(event, Stopped) and event is not transcript.stopped
    said = _remark(event) if not paused else None
    return Line(text=said) if said is not None else None


def _remark(event: AnyEvent) -> str | None:  # noqa: PLR0911 - one line per kind is the point
    match event:
        case Hinted():
            return f"✎ hint: {phrase(event.text)}"
        case Vetoed():
            return f"⊘ veto of {event.attempt}: {phrase(event.reason)}"
        case Moved():
            to = f"back to {event.attempt}" if event.attempt is not None else "back to the start"
            return f"↩ {to}: {phrase(event.reason)}" if event.reason else f"↩ {to}"
        case Changed():
            return f"⚙ model or budget changed: {phrase(event.model)}"
        case Failed():
            return f"⚠ fault of the machine: {phrase(event.fault)}"
        case Stopped():
            return f"■ {phrase(event.reason)}"
        case _:
            return None


def _said_of(attempt: Attempt) -> str:
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    said = phrase(headline(final)) if final is not None else "not judged"
    idea = attempt.candidate.idea if attempt.candidate is not None else None
    who = f"{attempt.author}, " if attempt.author != "model" else ""
    return f"{attempt.number}. {who}{said}" + (f"  ·  {phrase(idea)}" if idea else "")


def _edge(attempt: int, parent: int | None, rows: dict[int, int], lanes: dict[int, int]) -> Markup:
    above = rows.get(parent) if parent is not None else 0
    if above is None or above >= rows[attempt]:
        return Markup("")
    x1 = _x(lanes[parent] if parent is not None else 0)
    x2, y1, y2 = _x(lanes.get(attempt, 0)), _y(above), _y(rows[attempt])
    bend = f"C{x1:.1f} {y1 + ROW:.1f} {x2:.1f} {y1 + 4:.1f} {x2:.1f} {y1 + ROW:.1f}"
    path = f"M{x1:.1f} {y1:.1f}" + ("" if x1 == x2 else bend) + f"L{x2:.1f} {y2:.1f}"
    return tag(
        "path", d=path, fill="none", class_="s faint", stroke=COLOURS["faint"], stroke_width=1.6
    )


def _x(lane: int) -> float:
    return LEFT + LANE * lane


def _y(row: int) -> float:
    return TOP + ROW * (row + 0.5)


def _line(  # noqa: PLR0913 - a line and where it goes
    line: Line,
    place: int,
    best: Attempt | None,
    *,
    indent: float,
    width: float,
    anchors: str | None,
) -> Markup:
    y, size = _y(place), 11.5 if width < NARROW else 12.5
    is_best = line.attempt is not None and standing(line.attempt, best) == "best"
    # Bold letters are about a tenth wider.
    words = fit(line.text, (width - indent - 6) * 12 / size * (0.9 if is_best else 1))
    if line.attempt is None:
        said = text(indent, y + 4, words, size=size)
        return said if place == 0 else tag("g", said, font_style="italic")
    mark = sign(_x(line.lane), y, line.attempt, best, size=5.5)
    ink, weight = ("best", "600") if is_best else ("strong", None)
    named = text(indent, y + 4, words, size=size, ink=ink, weight=weight)
    return link(line.attempt, join(mark, named), anchors)


def _root(y: float) -> Markup:
    return tag(
        "rect", x=_x(0) - 5, y=y - 5, width=10.0, height=10.0, rx=2.0,
        class_="f ink", fill=COLOURS["ink"],
    )  # fmt: skip


def _described(transcript: Transcript, parents: dict[int, int | None]) -> str:
    said = []
    for attempt in drawn(transcript):
        parent = parents[attempt.number]
        start = f"revises {parent}" if parent is not None else "starts from the reference"
        passed = outcome(attempt)
        result = factor(passed.speedup.value) if passed is not None else "did not pass"
        said.append(f"Attempt {attempt.number} {start}: {result}.")
    return " ".join(said)
