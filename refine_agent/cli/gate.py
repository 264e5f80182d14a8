"""The gate of ``--pair``: what the engineer can do between two turns, and how they are asked.

What each choice does is the session's; this only reads lines and shows what comes back.
"""

from __future__ import annotations

import os
import select
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from refine_agent import inbox
from refine_agent.kernel_file import KernelFileError, read_candidate
from refine_agent.legible import legible
from refine_agent.session import SessionError
from refine_agent.transcript import TranscriptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from refine_agent.cli.screen import Screen
    from refine_agent.session import Session

R = TypeVar("R")
HELP = """\
  Enter        go on with the model's next turn
  h TEXT       hint: the next prompt carries it
  e [N]        edit attempt N's kernel in $EDITOR; saving makes it your turn
  o FILE       offer a kernel of your own from a file
  v [N] WHY    veto attempt N: no parent and no winner any more
  b N          back: go on from attempt N (0: from the reference)
  f N          fork: a new run that goes on from attempt N
  p [N]        profile page of attempt N
  d A B        what changed from attempt A to attempt B
  m MODEL      let another model answer
  t X          set the target speedup
  a [N]        auto: N turns without asking (all that are left)
  q            save and leave; `resume` goes on
  ?            this help
Without N the last attempt is meant."""
POLL_SECONDS = 0.3
MOST_DIGITS = 6


class Leave(KeyboardInterrupt):
    """The engineer saves and leaves."""


class Gate:
    """Asks after each turn; remembers for how many it was told not to."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._quiet_turns: float = 0
        self._typed = b""

    def ask(self, session: Session) -> Session:
        """Ask until the engineer goes on; return the session to go on with."""
        if self._quiet_turns > 0 and session.why_over() is None:
            self._quiet_turns -= 1
            return session
        self._screen.pause()
        while True:
            line = self._line(session)
            word, _, rest = line.partition(" ")
            if word == "":
                return session
            if word == "a":
                chosen = self._try(partial(self._auto, session, rest.strip()))
                if chosen is not None:
                    return chosen
                continue
            if word == "f":
                branch = self._try(partial(_fork, session, rest))
                if branch is not None:
                    self._screen.say(f"branched into {branch.transcript.folder}")
                    return branch
                continue
            self._do(session, word, rest.strip())

    def _line(self, session: Session) -> str:
        """Read a line; meanwhile take up what lands in the inbox, a saved file for one."""
        self._prompt(session)
        while b"\n" not in self._typed:
            if any(inbox.waiting(session.transcript.folder)):
                self._screen.say("")
                session.take_up()
                self._screen.pause()
                self._prompt(session)
            self._read()
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode("utf-8", "replace").strip()

    def _read(self) -> None:
        """Read what was typed, if anything; past Python's buffer, which select cannot see."""
        if not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
            return
        piece = os.read(sys.stdin.fileno(), 65536)
        if not piece:
            raise Leave("left at the gate")
        self._typed += piece

    def _prompt(self, session: Session) -> None:
        why = session.why_over()
        over = f" ({why}; Enter finishes, a N adds turns)" if why is not None else ""
        self._screen.ask(f"Enter go on · h e o v b f p d m t a q · ? help{over} > ")

    def _do(self, session: Session, word: str, rest: str) -> None:
        choices: dict[str, Callable[[Session, str], None]] = {
            "h": _hint,
            "e": _edit,
            "o": _offer,
            "v": _veto,
            "b": _back,
            "p": self._page,
            "d": self._diff,
            "m": self._model,
            "t": self._target,
            "q": _leave,
            "?": lambda _session, _rest: self._screen.say(HELP),
        }
        choice = choices.get(word)
        if choice is None:
            self._screen.say(f"there is no choice {legible(word)!r}; ? shows them all")
            return
        self._try(lambda: choice(session, rest))

    def _try(self, act: Callable[[], R]) -> R | None:
        """Do something; what the session refuses is said, and asked again."""
        try:
            return act()
        except (SessionError, TranscriptError, KernelFileError, click.ClickException) as why:
            text = why.format_message() if isinstance(why, click.ClickException) else str(why)
            self._screen.say(text)
        except OSError as why:
            self._screen.say(f"{why.filename}: {why.strerror}")
        finally:
            self._screen.pause()
        return None

    def _auto(self, session: Session, rest: str) -> Session:
        """Ask no more for so many turns; return the session to go on with."""
        if not rest:
            self._quiet_turns = float("inf")
            return session
        wanted = _turns(rest)
        taken, budget = session.transcript.model_turns, session.transcript.options.budget.turns
        if budget is not None and taken + wanted > budget:
            session.change(turns=taken + wanted)
        self._quiet_turns = wanted - 1
        return session

    def _model(self, session: Session, rest: str) -> None:
        session.change(model=_required(rest, "a model"))
        self._screen.say(f"      from the next turn on {legible(rest)} answers")

    def _target(self, session: Session, rest: str) -> None:
        target = _speedup(rest)
        session.change(target=target)
        self._screen.say(f"      the target is {target:.2f}x now")

    def _page(self, session: Session, rest: str) -> None:
        self._screen.say(legible(session.profile(_number(rest, session)).text()))

    def _diff(self, session: Session, rest: str) -> None:
        a, _, b = rest.partition(" ")
        self._screen.say(legible(str(session.diff(_number(a, session), _number(b, session)))))


def _hint(session: Session, rest: str) -> None:
    session.hint(rest)


def _edit(session: Session, rest: str) -> None:
    number = _number(rest, session)
    changed = click.edit(session.source(number), extension=".py")
    if changed is None:
        raise SessionError("nothing was saved, so nothing is judged")
    session.edit(number, changed)


def _offer(session: Session, rest: str) -> None:
    path = Path(_required(rest, "a file")).expanduser()
    source = read_candidate(path, session.transcript.problem)
    parent = session.transcript.parent
    session.offer(
        source, idea=f"offered {path.name}", parent=parent.number if parent is not None else None
    )


def _veto(session: Session, rest: str) -> None:
    first, _, others = rest.partition(" ")
    if _is_number(first):
        session.veto(int(first), others)
    else:
        session.veto(_number("", session), rest)


def _back(session: Session, rest: str) -> None:
    number = _number(_required(rest, "the number of an attempt"), session)
    session.back(number or None)


def _fork(session: Session, rest: str) -> Session:
    return session.branch(_number(rest, session))


def _leave(_session: Session, _rest: str) -> None:
    raise Leave("saved and left at the gate")


def _number(text: str, session: Session) -> int:
    """Return the attempt a person means; the last one when they name none."""
    text = text.strip().removeprefix("#")
    if not text:
        return session.transcript.next_attempt - 1
    if not _is_number(text):
        raise SessionError(f"{legible(text)!r} is not the number of an attempt")
    return int(text)


def _turns(text: str) -> int:
    if not _is_number(text) or int(text) < 1:
        raise SessionError(
            f"{legible(text)!r} is not a number of turns; write a 3, or a alone for all that are "
            "left"
        )
    return int(text)


def _is_number(text: str) -> bool:
    """Whether a text is a whole number that a person would type."""
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def _speedup(text: str) -> float:
    try:
        wanted = float(text.rstrip("x"))
    except ValueError:
        wanted = 0.0
    if not 0 < wanted < float("inf"):
        raise SessionError(f"{legible(text)!r} is not a speedup; write t 2.0")
    return wanted


def _required(text: str, what: str) -> str:
    if not text:
        raise SessionError(f"name {what}")
    return text
