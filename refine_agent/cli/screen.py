"""What a person sees while a run goes on: a line per turn, and the phase that runs now.

On a terminal the current phase is redrawn in place; without one, or under CI, NO_COLOR or
TERM=dumb, there are plain lines only. How a line reads is `words`' business.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from threading import Lock
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from refine_agent import rows
from refine_agent.cli import words
from refine_agent.legible import legible, phrase
from refine_agent.records import (
    Failed,
    Hinted,
    Measured,
    Moved,
    Sealed,
    TurnClosed,
    Vetoed,
    headline,
)

if TYPE_CHECKING:
    from refine_agent.records import AnyEvent
    from refine_agent.transcript import Transcript

# A streamed piece tells its characters only; four to a token is the rule of thumb for English.
CHARS_PER_TOKEN = 4
WIDTH_WITHOUT_TERMINAL = 160
_NAMES = {
    "start": "starting judge and workers",
    "toolchain": "preparing the compiler and PyTorch",
    "problem": "examining the problem: inputs, oracle, impostors",
    "witnesses": "warming PyTorch up and letting torch.compile compile",
    "baseline": "timing PyTorch",
    "prompt": "writing the prompt",
    "model": "waiting for the answer",
    "build": "building",
    "judge": "judging",
    "wait": "waiting for the device, which another run holds",
    "profile": "profiling",
    "seal": "sealing: rebuilding with torch's own headers, judging afresh",
    "save": "waiting for the file to be saved (Ctrl-C ends it)",
}
# What takes long enough to be announced where lines cannot be redrawn.
_ANNOUNCED = {"start": "measuring PyTorch on this machine", "seal": _NAMES["seal"]}


class Output(Console):
    """A console whose reader may leave: what that means is for the command to say, not for rich."""

    def on_broken_pipe(self) -> None:
        """Tell the command, which rich would end with an exit code of its own."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console_for(*, stderr: bool) -> Console:
    """Return a console that is plain where nobody watches a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Output(
        file=stream,
        # A pipe or a file has no edge; only a table's longest cells must end somewhere.
        width=None if stream.isatty() or "COLUMNS" in os.environ else WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        no_color=True if is_plain() else None,
    )


def is_plain() -> bool:
    """Whether the environment asks for lines without colour and motion."""
    return bool(
        os.environ.get("CI") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    )


class Screen:
    """Shows one run on a console as its events come in; a `Watch` for the loop."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._transcript: Transcript | None = None
        self._phase: str | None = None
        self._since = time.monotonic()
        self._characters = 0
        self._lock = Lock()  # builds and samples report from their own threads
        self._live: Live | None = None
        self._moves = console.is_terminal and not is_plain()

    def follow(self, transcript: Transcript) -> None:
        """Show a run from here on."""
        self._transcript = transcript
        transcript.listeners.append(self.event)

    def replay(self, transcript: Transcript) -> None:
        """Show what a run has behind it, as it came; a turn that was cut short comes last."""
        self._transcript = transcript
        for event in transcript.events:
            self.event(event)
        if transcript.open_turn is not None:
            self._turn(transcript, transcript.open_turn, seconds=None)

    # --- what the loop says ---------------------------------------------------------------------

    def phase(self, name: str) -> None:
        """Show which phase begins."""
        with self._lock:
            if name == self._phase:
                return
            self._phase, self._since, self._characters = name, time.monotonic(), 0
        if name == "model" and self._asks_a_person:
            self.pause()  # a terminal that redraws itself cannot be typed into
        elif self._moves:
            self._show_live()
        elif name in _ANNOUNCED:
            self.console.print(f"{_ANNOUNCED[name]} …")

    def text(self, piece: str) -> None:
        """Count a piece of a reply; what a person is to answer is shown to them instead."""
        if self._asks_a_person:
            self.pause()
            self.console.print(legible(piece), end="")
            return
        with self._lock:
            self._characters += len(piece)

    def event(self, event: AnyEvent) -> None:
        """Show what was recorded, where a person would want to know."""
        run = self._transcript
        if run is None:
            return
        match event:
            case Measured():
                self.say(*words.setup_lines(run.problem, event.setup), "")
                self.console.print(words.header_line())
            case TurnClosed():
                self._turn(run, event.turn, seconds=event.seconds)
            case Sealed():
                self.say(f"sealed #{event.attempt}: {phrase(headline(event.verdict))}")
            case Hinted():
                self.say(f"      hint: {phrase(event.text)}")
            case Vetoed():
                self.say(f"      veto of #{event.attempt}: {phrase(event.reason)}")
            case Moved():
                where = f"#{event.attempt}" if event.attempt is not None else "the reference"
                self.say(f"      going on from {where}")
            case Failed():
                self.say(f"      fault: {phrase(event.fault, chars=400)}")
            case _:
                pass

    def _turn(self, run: Transcript, turn: int, *, seconds: float | None) -> None:
        scale = words.scale_of(run)
        for attempt in run.attempts_of(turn):
            line = words.attempt_line(attempt, scale=scale, seconds=seconds)
            if self.console.is_terminal:  # cut at its edge; a file or a pipe gets the whole line
                self.console.print(line, soft_wrap=False, no_wrap=True, overflow="ellipsis")
            else:
                self.console.print(line)
            self.say(*words.remarks(attempt))
        with self._lock:
            self._phase = None

    # --- what the command says ------------------------------------------------------------------

    def say(self, *lines: str | Text) -> None:
        """Print lines above whatever moves."""
        for line in lines:
            self.console.print(line)

    def pause(self) -> None:
        """Stop drawing, so that a person can be asked something."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self.pause()
        self._phase = None

    @property
    def waits_for_a_person(self) -> bool:
        """Whether nothing goes on until somebody has typed an answer."""
        return self._asks_a_person and self._phase == "model"

    @property
    def _asks_a_person(self) -> bool:
        return self._transcript is not None and self._transcript.model == "manual"

    def ask(self, question: str) -> None:
        """Print a question without ending the line."""
        self.console.print(question, end="")
        self.console.file.flush()

    def _show_live(self) -> None:
        with self._lock:
            if self._live is None:
                self._live = Live(self, console=self.console, refresh_per_second=8, transient=True)
                self._live.start()

    def __rich__(self) -> Text:
        """Return the line that moves: the phase, its seconds, the reply's length, what is left."""
        if self._phase is None:
            return Text()
        name = phrase(_NAMES.get(self._phase, self._phase), chars=60)
        line = Text(f"  {name} ", style="cyan", no_wrap=True, overflow="ellipsis")
        line.append(f"{time.monotonic() - self._since:.0f} s", style="bold")
        if self._characters:
            line.append(f" · about {self._characters // CHARS_PER_TOKEN:,} tokens so far")
        line.append(f" · {self._left()}", style="dim")
        return line

    def _left(self) -> str:
        run = self._transcript
        if run is None:
            return ""
        budget = run.options.budget
        turn = run.open_turn or run.next_turn
        parts = [f"turn {turn}" if self._phase != "seal" else ""]
        if budget.turns is not None:
            parts.append(f"{run.model_turns} of {budget.turns} taken")
        if budget.usd is not None:
            parts.append(_money(run, limit=budget.usd))
        if budget.minutes is not None:
            parts.append(f"{run.seconds / 60:.1f} of {budget.minutes:g} min")
        return " · ".join(part for part in parts if part)


def _money(run: Transcript, *, limit: float) -> str:
    """Return what the replies cost and may cost; what nobody knows is said to be unknown."""
    if not run.unpriced:
        return f"${run.cost_usd:.2f} of ${limit:.2f}"
    return f"cost {rows.cost(run, '${:.2f}'.format)}, limit ${limit:.2f}"


class EventLines:
    """Writes a run's events and phases as JSON lines on stdout, and passes all on to a screen."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._lock = Lock()

    def follow(self, transcript: Transcript) -> None:
        """Write what the run holds already, then each event as it is recorded."""
        for event in transcript.events:
            self.event(event)
        transcript.listeners.append(self.event)
        self.screen.follow(transcript)

    def phase(self, name: str) -> None:
        """Write that a phase begins."""
        self.write({"event": "phase", "at": time.time(), "name": name})
        self.screen.phase(name)

    def text(self, piece: str) -> None:
        """Leave streamed pieces out: the whole reply comes as an event."""
        self.screen.text(piece)

    def event(self, event: AnyEvent) -> None:
        """Write an event as the transcript holds it, long texts in place."""
        self.write(event)

    def write(self, value: object) -> None:
        """Write one line."""
        with self._lock:
            click.echo(msgspec.json.encode(value))
