"""The inbox of a run: notes that anyone may drop and only the run's owner takes up.

It owns how a note is dropped whole, read once and watched for; what a note does to the run is the
session's business.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from refine_agent.records import Record
from refine_agent.transcript import INBOX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

# A note carries at most one kernel; what is larger was not dropped by us.
MAX_NOTE_BYTES = 4 << 20
POLL_SECONDS = 0.3


class Note(Record, frozen=True, kw_only=True, tag_field="note"):
    """Something the engineer wants of a run; ``at`` is when it was said."""

    at: float


class Hint(Note, frozen=True, kw_only=True, tag="hint"):
    """Words for the next prompt."""

    text: str


class Offer(Note, frozen=True, kw_only=True, tag="offer"):
    """A kernel of the engineer's own."""

    source: str
    parent: int | None = None
    idea: str | None = None


class Veto(Note, frozen=True, kw_only=True, tag="veto"):
    """An attempt that must not win, and why."""

    attempt: int
    reason: str


class Back(Note, frozen=True, kw_only=True, tag="back"):
    """The attempt to go on from."""

    attempt: int


class Stop(Note, frozen=True, kw_only=True, tag="stop"):
    """The wish that the run stop at its next boundary."""


AnyNote = Hint | Offer | Veto | Back | Stop
_decoder = msgspec.json.Decoder(AnyNote)


class Letter(Record, frozen=True, kw_only=True):
    """A note and the file it came in; ``note`` is ``None`` when the file held none."""

    path: str
    note: AnyNote | None
    why_not: str | None = None

    @property
    def name(self) -> str:
        """The file's name, which no other note has: what came of the note is recorded with it."""
        return Path(self.path).name


def drop(run: Path, note: AnyNote) -> Path:
    """Put a note into a run's inbox; it appears there whole or not at all."""
    inbox = run / INBOX
    inbox.mkdir(exist_ok=True)
    name = f"{time.time_ns():020d}-{secrets.token_hex(2)}"
    partial, final = inbox / f".{name}", inbox / f"{name}.json"
    with partial.open("wb") as file:
        file.write(msgspec.json.encode(note))
        file.flush()
        os.fsync(file.fileno())
    partial.rename(final)
    return final


def waiting(run: Path) -> Iterator[Letter]:
    """Yield what lies in the inbox, oldest first; taking a note up means unlinking its file."""
    inbox = run / INBOX
    if not inbox.is_dir():
        return
    for path in sorted(inbox.glob("*.json")):
        yield _read(path)


def _read(path: Path) -> Letter:
    try:
        if path.stat().st_size > MAX_NOTE_BYTES:
            return Letter(path=str(path), note=None, why_not="it is larger than 4 MiB")
        return Letter(path=str(path), note=_decoder.decode(path.read_bytes()))
    except (OSError, msgspec.DecodeError, RecursionError) as why:
        return Letter(path=str(path), note=None, why_not=str(why)[:200])


class Saves:
    """Watches a file and drops each new content that is saved as an offer.

    ``read`` makes a candidate of the file; where it raises ``ValueError``, ``refuse`` is told why.
    """

    def __init__(
        self, run: Path, file: Path, *, read: Callable[[Path], str], refuse: Callable[[str], None]
    ) -> None:
        self._run, self._file = run, file
        self._read, self._refuse = read, refuse
        self._seen = self._content()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="saves", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            content = self._content()
            if not content or content == self._seen:
                continue
            # An editor may be half-way through: take a text up once it has stopped changing.
            if self._over.wait(POLL_SECONDS) or self._content() != content:
                continue
            self._seen = content
            self._drop()

    def _drop(self) -> None:
        try:
            source = self._read(self._file)
        except (OSError, ValueError) as why:
            self._refuse(str(why))
            return
        drop(self._run, Offer(at=time.time(), source=source, idea=f"saved {self._file.name}"))

    def _content(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError:
            return b""  # between an editor's unlink and its rename there is no file
