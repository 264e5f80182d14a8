"""Answers from a run that happened before, and where the present run leaves its path.

It owns finding a recording and giving its replies in order; that the prompts differ is said in
the reply's note and stops nothing.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from refine_agent.author.faults import AuthorFault
from refine_agent.loop import NoAnswer
from refine_agent.prompts import differences
from refine_agent.prompts.quoting import one_line
from refine_agent.transcript import EVENTS, Transcript, runs_in

if TYPE_CHECKING:
    from refine_agent.loop import Watch
    from refine_agent.prompts import Difference
    from refine_agent.records import Attempt, Prompt, Reply

# Recordings that ship in the wheel.
SHIPPED = Path(__file__).parent.parent / "transcripts" / "recorded"
# Where new runs go unless the user says otherwise.
RUNS = Path("transcripts")
SHOWN_CHARS = 140


def find_recording(name: str) -> Path:
    """Return the folder of a recorded run: a path, a run of this folder, or one that ships."""
    for folder in (Path(name), RUNS / name, SHIPPED / name):
        if name and (folder / EVENTS).is_file():
            return folder
    known = ", ".join(folder.name for folder in runs_in(SHIPPED)) or "none"
    raise AuthorFault(
        f"there is no recorded run {name!r}, neither as a folder nor among those that ship "
        f"({known}); give recorded:FOLDER of a run that `refine_agent show` lists"
    )


class Recorded:
    """Gives the replies of a recorded run in their order, whatever is asked."""

    def __init__(self, folder: Path, *, name: str, transcript: Transcript | None) -> None:
        self.name = name
        self._recording = Transcript.read(folder)
        self._attempts = [a for a in self._recording.attempts if a.reply is not None]
        self._transcript = transcript
        self._known: set[tuple[str | None, str | None]] = set()

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Return the reply the recording holds for this attempt, noting where prompts differ."""
        began = time.monotonic()
        position = self._position(attempt)
        if position >= len(self._attempts):
            raise NoAnswer(
                f"{self.name} holds {len(self._attempts)} replies and all have been given; "
                "go on with `resume RUN --model NAME`"
            )
        recorded = self._attempts[position]
        reply = recorded.reply
        assert reply is not None  # noqa: S101 - only attempts with one are kept
        watch.text(reply.text)
        return replace(
            reply,
            cost_usd=0.0,  # nothing is paid for a reply that was paid for before
            note=self._note(recorded, prompt),
            seconds=time.monotonic() - began,
        )

    def _position(self, attempt: int) -> int:
        """Return which reply is due: kernels that were offered take none."""
        earlier = self._transcript.attempts if self._transcript is not None else ()
        offers = sum(a.author != "model" and a.number < attempt for a in earlier)
        return attempt - 1 - offers

    def _note(self, recorded: Attempt, prompt: Prompt) -> str | None:
        asked = self._recording.prompt_of(recorded.turn)
        if asked is None or asked.digest == prompt.digest:
            return recorded.reply.note if recorded.reply is not None else None
        found = differences(asked.messages, prompt.messages)
        if not found:
            return None
        first = not self._known
        new = [d for d in found if (d.recorded, d.present) not in self._known]
        self._known.update((d.recorded, d.present) for d in found)
        if not new:
            return "the prompt differs from the recorded one only where it did before"
        if first and self._is_of_another_problem:
            name = one_line(self._recording.problem.name, SHOWN_CHARS)
            return f"the recording is of another problem, {name}: its answers are not to this one"
        return f"the prompt differs from the recorded one: {_said(new[0])}"

    @property
    def _is_of_another_problem(self) -> bool:
        run = self._transcript
        return run is not None and run.problem.digest != self._recording.problem.digest


def _said(difference: Difference) -> str:
    if difference.present is None:
        return f"it lacks {_shown(difference.recorded)}"
    if difference.recorded is None:
        return f"it adds {_shown(difference.present)}"
    return f"{_shown(difference.present)} in place of {_shown(difference.recorded)}"


def _shown(line: str | None) -> str:
    return f"“{one_line(line or '', SHOWN_CHARS)}”"
