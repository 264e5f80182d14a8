"""Answers that somebody writes: into the files of a folder, into an editor, or into the terminal.

It owns naming the files, showing the prompt and waiting for nobody; a run whose answer is not
there yet stops, and goes on with `resume`, on another machine too.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from refine_agent.author.faults import AuthorFault
from refine_agent.loop import NoAnswer
from refine_agent.prompts import as_markdown
from refine_agent.records import Reply

if TYPE_CHECKING:
    from refine_agent.loop import Watch
    from refine_agent.records import Prompt
    from refine_agent.transcript import Transcript

END_OF_ANSWER = "EOF"
SCISSORS = "<!-- write the answer above this line -->"
MAX_ANSWER_BYTES = 4 << 20

# The first line of an answer may say who wrote it and how many tries were thrown away before.
_HEADER = re.compile(
    r"\A\s*<!--\s*(?:model:\s*(?P<model>[^;>\n]{1,80}?))?\s*;?\s*"
    r"(?:thrown away:\s*(?P<thrown>\d{1,4}))?\s*-->[ \t]*\n?"
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which answer is due: the turn, and the sample of that turn."""

    turn: int
    sample: int

    @property
    def answer_name(self) -> str:
        """The name of the file that holds the answer: `turn_3.md`, or `turn_3.2.md`."""
        return f"turn_{self.turn}.md" if self.sample == 1 else f"turn_{self.turn}.{self.sample}.md"


class Scripted:
    """Reads the answer to turn 3 from `turn_3.md`, of its second sample from `turn_3.2.md`."""

    def __init__(self, folder: Path, *, name: str, transcript: Transcript | None) -> None:
        self.name = name
        self.folder = folder
        self._transcript = transcript
        self._lock = threading.Lock()
        self._taken: dict[Place, int] = {}

    @classmethod
    def open(cls, folder: str, *, transcript: Transcript | None) -> Self:
        """Open ``script:FOLDER``; a folder that is not there yet is made for the prompts."""
        path = Path(folder)
        if not folder or (path.exists() and not path.is_dir()):
            raise AuthorFault(
                f"script:{folder} names no folder; give script:FOLDER, with answers in turn_1.md, "
                "turn_2.md and so on"
            )
        return cls(path, name=f"script:{folder}", transcript=transcript)

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Return the answer from its file; raise ``NoAnswer`` while there is none."""
        began = time.monotonic()
        with self._lock:
            place = self._due(attempt)
            self._write_prompt(prompt, place)
            text = self._read(place)
        watch.text(text)
        # The folder's path is nobody's business.
        kind = self.name.partition(":")[0]
        return answer(text, prompt, model=kind, seconds=time.monotonic() - began)

    def has_answer(self, turn: int) -> bool:
        """Whether somebody has answered the turn already, in reply to the prompt they saw."""
        samples = self._transcript.samples_of(turn) if self._transcript is not None else 1
        places = (Place(turn=turn, sample=sample) for sample in range(1, samples + 1))
        return any(self._content(place).strip() for place in places)

    def path_of(self, place: Place) -> Path:
        """Return where the answer is awaited."""
        return self.folder / place.answer_name

    def _due(self, attempt: int) -> Place:
        """Return the first sample of the turn under way that no other attempt has taken."""
        run = self._transcript
        if run is None or run.open_turn is None:
            return Place(turn=attempt, sample=1)
        turn = run.open_turn
        first = 1 + max((a.number for a in run.attempts if a.turn < turn), default=0)
        given = {a.reply.text for a in run.attempts_of(turn) if a.reply is not None}
        wanted = Place(turn=turn, sample=attempt - first + 1)
        free = [
            place
            for place in (Place(turn=turn, sample=n) for n in range(1, run.samples_of(turn) + 1))
            if self._taken.get(place, attempt) == attempt
            and _without_header(self._content(place)) not in given
        ]
        place = wanted if wanted in free or not free else free[0]
        self._taken[place] = attempt
        return place

    def _write_prompt(self, prompt: Prompt, place: Place) -> None:
        # Whoever may only read the folder has the prompt in the transcript.
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"prompt_{place.turn}.md"
            path.write_text(as_markdown(prompt), encoding="utf-8")

    def _read(self, place: Place) -> str:
        text = self._content(place)
        if text.strip():
            return text
        self._taken.pop(place, None)
        raise NoAnswer(
            f"the answer to turn {place.turn} is awaited in {self.path_of(place)} "
            f"(its prompt is in {self.folder / f'prompt_{place.turn}.md'}); "
            "write it, then go on with `resume`"
        )

    def _content(self, place: Place) -> str:
        path = self.path_of(place)
        try:
            with path.open("rb") as file:
                return file.read(MAX_ANSWER_BYTES).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        except OSError as why:
            raise AuthorFault(
                f"the answer in {path} cannot be read ({why.strerror}); check the file, then resume"
            ) from None


class Manual:
    """Asks the person at the terminal; without one, waits for a file in the run's folder."""

    name = "manual"

    def __init__(self, transcript: Transcript | None) -> None:
        self._lock = threading.Lock()
        folder = transcript.folder / "answers" if transcript is not None else None
        self._files = (
            Scripted(folder, name=self.name, transcript=transcript) if folder is not None else None
        )

    def has_answer(self, turn: int) -> bool:
        """Whether a file of the run's folder holds an answer to the turn."""
        return self._files is not None and self._files.has_answer(turn)

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Return what the person wrote; raise ``NoAnswer`` where there is no one to ask."""
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            if self._files is None:
                raise NoAnswer("there is no terminal to answer in; run this in one, or use script:")
            return self._files.ask(prompt, attempt=attempt, watch=watch)
        began = time.monotonic()
        with self._lock:
            editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
            text = _from_editor(editor, prompt) if editor else _from_terminal(prompt, watch)
        if not text.strip():
            raise NoAnswer("nothing was written; go on with `resume` when there is an answer")
        return answer(text, prompt, model=self.name, seconds=time.monotonic() - began)


def answer(text: str, prompt: Prompt, *, model: str, seconds: float) -> Reply:
    """Return a written answer as a reply; its first line may name its author."""
    header = _HEADER.match(text)
    named = header["model"] if header else None
    thrown = header["thrown"] if header else None
    return Reply(
        text=_without_header(text),
        model=(named or model).strip(),
        answers=prompt.digest,
        finish_reason="stop",
        seconds=seconds,
        thrown_away=int(thrown or 0),
    )


def _without_header(text: str) -> str:
    header = _HEADER.match(text)
    return text[header.end() :] if header and any(header.groups()) else text


def _from_editor(editor: str, prompt: Prompt) -> str:
    """Open the prompt in an editor; the answer is what stands above the line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answer.md"
        path.write_text(f"\n{SCISSORS}\n\n{as_markdown(prompt)}", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)  # the user's own editor
        except (OSError, subprocess.CalledProcessError) as why:
            raise AuthorFault(
                f"the editor {editor!r} did not end well ({why}); set VISUAL or EDITOR to one that "
                "does, or unset both to paste into the terminal"
            ) from None
        return path.read_text(encoding="utf-8", errors="replace").partition(SCISSORS)[0].strip()


def _from_terminal(prompt: Prompt, watch: Watch) -> str:
    """Show the prompt; read lines until one says EOF."""
    watch.text(as_markdown(prompt))
    watch.text(f"\nWrite the answer, then a line {END_OF_ANSWER}.\n")
    lines: list[str] = []
    for line in sys.stdin:
        if line.strip() == END_OF_ANSWER:
            break
        lines.append(line)
    return "".join(lines)
