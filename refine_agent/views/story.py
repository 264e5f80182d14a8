"""The turns of a run and what was said between them, in the order in which they happened.

It owns the order and the bounds; what an attempt came to is `attempt`'s.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from refine_agent import rows
from refine_agent.legible import legible, phrase
from refine_agent.records import (
    Changed,
    Failed,
    Hinted,
    Moved,
    Offered,
    Prompted,
    Record,
    Resumed,
    Stopped,
    Vetoed,
)
from refine_agent.views.attempt import REPLY_CHARS, AttemptView, attempt_view

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import AnyEvent, Attempt, Prompt, Turn
    from refine_agent.transcript import Transcript

# The turns shown in full; a run of thousands is for frames, not for a page.
MOST_TURNS = 60
MOST_SAMPLES = 16
MOST_REMARKS = 240
SHORTEST_SHOWN_SECONDS = 0.05


class PromptView(Record, frozen=True, kw_only=True):
    """One message of a prompt; ``text`` is absent where the turn before had the same."""

    role: str
    text: str | None
    chars: int


class TurnView(Record, frozen=True, kw_only=True):
    """A turn: what was asked, what came, how long it took."""

    number: int
    attempts: tuple[AttemptView, ...]
    prompt: tuple[PromptView, ...]
    seconds: str | None
    fault: str | None


class Remark(Record, frozen=True, kw_only=True):
    """What the engineer or the loop said between turns."""

    kind: str
    text: str


def story(transcript: Transcript, key: str) -> Iterator[TurnView | Remark]:
    """Yield turns and what was said between them, in the order in which they happened."""
    scene = Scene(
        key=key,
        best=transcript.best,
        floors={a.number: rows.floor_us(transcript, a.number) for a in transcript.attempts},
        attempts={attempt.number: attempt for attempt in transcript.attempts},
    )
    shown, before, said = _last_turns(transcript), None, 0
    for last, event in pairwise(transcript.events):
        if isinstance(last, Stopped) and isinstance(event, Resumed):
            continue  # told in one line with the stop
        if isinstance(event, Prompted | Offered):
            if event.turn in shown and not _is_replaced(event, transcript):
                shown.remove(event.turn)
                turn = transcript.turn(event.turn)
                yield _turn(turn, scene, before)
                before = turn.prompt or before
        elif (remark := _remark(event, transcript)) is not None and said < MOST_REMARKS:
            said += 1
            yield remark


def _is_replaced(event: Prompted | Offered, transcript: Transcript) -> bool:
    """Whether the turn's prompt was written anew before anybody answered it."""
    return isinstance(event, Prompted) and event.prompt != transcript.prompt_of(event.turn)


def _last_turns(transcript: Transcript) -> set[int]:
    begun = {event.turn for event in transcript.events if isinstance(event, Prompted | Offered)}
    return set(sorted(begun)[-MOST_TURNS:])


def _remark(  # noqa: PLR0911 - one per kind of event
    event: AnyEvent, transcript: Transcript
) -> Remark | None:
    match event:
        case Hinted():
            return Remark(kind="hint", text=legible(event.text, chars=2000))
        case Vetoed():
            return Remark(
                kind="veto", text=f"attempt {event.attempt}: {phrase(event.reason, chars=600)}"
            )
        case Moved():
            to = f"attempt {event.attempt}" if event.attempt is not None else "the reference"
            why = f": {phrase(event.reason, chars=600)}" if event.reason else ""
            return Remark(kind="back", text=f"the next turn revises {to}{why}")
        case Changed():
            return Remark(kind="change", text=f"model {phrase(event.model)}; {_limits(event)}")
        case Resumed():
            return Remark(kind="resumed", text="the run, which was cut short, was taken up again")
        case Stopped():
            over = event is transcript.stopped
            again = "" if over else "; it was taken up again"
            kind = "stopped" if over else "paused"
            return Remark(kind=kind, text=phrase(event.reason, chars=600) + again)
        case Failed():
            return Remark(kind="fault", text=phrase(event.fault, chars=600))
        case _:
            return None


def _limits(changed: Changed) -> str:
    budget = changed.options.budget
    known = (
        ("turns", budget.turns),
        ("target", budget.target),
        ("USD", budget.usd),
        ("minutes", budget.minutes),
        ("patience", budget.patience),
    )
    return (
        ", ".join(f"{name} {value:g}" for name, value in known if value is not None) or "no limit"
    )


class Scene(Record, frozen=True, kw_only=True):
    """What every turn of a run is shown against; looked up once."""

    key: str
    best: Attempt | None
    floors: dict[int, float | None]
    attempts: dict[int, Attempt]


def _turn(found: Turn, scene: Scene, before: Prompt | None) -> TurnView:
    return TurnView(
        number=found.number,
        attempts=tuple(_attempt(attempt, scene) for attempt in found.attempts[:MOST_SAMPLES]),
        prompt=tuple(_messages(found.prompt, before)),
        seconds=f"{found.seconds:.1f} s" if found.seconds is not None else None,
        fault=phrase(found.fault, chars=600) if found.fault else None,
    )


def _attempt(attempt: Attempt, scene: Scene) -> AttemptView:
    number = attempt.candidate.parent if attempt.candidate is not None else None
    return attempt_view(
        attempt,
        key=f"{scene.key}-attempt",
        parent=scene.attempts.get(number) if number is not None else None,
        best=scene.best,
        floor_us=scene.floors.get(attempt.number),
    )


def phases_in(turn: Turn) -> str:
    """Return where a turn's seconds went, in a line."""
    long = [phase for phase in turn.ledger if phase.seconds >= SHORTEST_SHOWN_SECONDS]
    return ", ".join(f"{phrase(phase.name)} {phase.seconds:.1f}" for phase in long)


def _messages(prompt: Prompt | None, before: Prompt | None) -> Iterator[PromptView]:
    known = {message.content for message in before.messages} if before is not None else set()
    for message in prompt.messages if prompt is not None else ():
        repeated = message.content in known
        text = None if repeated else legible(message.content, chars=REPLY_CHARS)
        yield PromptView(role=message.role, text=text, chars=len(message.content))
