"""The transcript: an append-only JSON-lines file per run, with content-addressed blobs beside it.

It owns how events are written, read back and viewed as turns and attempts; it leaves to the loop
what happens next and to prompts, reports and frames how it looks.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections import Counter
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import replace

from refine_agent import ranking
from refine_agent.records import (
    AnyEvent,
    Attempt,
    Candidate,
    Changed,
    Failed,
    Hinted,
    Judged,
    Measured,
    Moved,
    Offered,
    Passed,
    Phase,
    Profiled,
    Prompted,
    Replied,
    Resumed,
    Sealed,
    Started,
    Stopped,
    Turn,
    TurnClosed,
    Unreadable,
    Vetoed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from pandas import DataFrame

    from refine_agent.records import AnyVerdict, Options, Problem, Prompt, Reply, Setup

SCHEMA = 1
EVENTS = "events.jsonl"
BLOBS = "blobs"
INBOX = "inbox"
LOCK = ".lock"
LOCK_TRIES, LOCK_WAIT_S = 3, 0.02

# Longer texts (sources, prompts, replies, logs, pages) live once each in a file named by content.
BLOB_FROM_CHARS = 1024
_BLOB = "blob:sha256:"
# Whose answers nobody sends a bill for.
_WRITTEN = ("script:", "manual")
# A line of 64 MB is no transcript of ours; reading it would only fill the memory.
MAX_LINE_BYTES = 64 << 20
# How often the machine may fail on one attempt, and in one way, before it is left as it is.
MOST_FAULTS = 2
_VARIES = re.compile(r"0x[0-9a-fA-F]+|\d+")  # addresses, process ids, sizes

# Runs that ship with the package: their answers are replayed, and nobody writes into them.
RECORDED = Path(__file__).parent / "transcripts" / "recorded"

_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class TranscriptError(Exception):
    """The run cannot be opened; the message says why and what to do."""


def new_run_id() -> str:
    """Return a name that sorts by when the run began: second, 4096th part, two random digits."""
    now = time.time()
    second = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{second}-{int(now % 1 * 4096):03x}{secrets.token_hex(1)}"


class Transcript:
    """One run, as it happened. Reading needs nothing but the folder; writing holds its lock."""

    def __init__(self, folder: Path, *, lock: int | None = None, texts: bool = True) -> None:
        self.folder = folder
        self.events: list[AnyEvent] = []
        self.damaged: list[str] = []  # lines that could not be read, and why
        self.listeners: list[Callable[[AnyEvent], None]] = []  # told once an event is on the disk
        self._lock = lock
        self._texts = texts
        self._torn = False
        self._attempts: dict[int, Attempt] = {}
        self._prompts: dict[int, Prompted] = {}
        self._closed: dict[int, TurnClosed] = {}
        self._setup: Setup | None = None
        self._judged_under: dict[int, Setup | None] = {}
        self._weakness = _Weakness()
        self._lost: list[str] = []  # texts that could not be read, and why
        self._stand_ins: dict[str, str] = {}  # what stands in a text's place: why it is not there
        self._lost_sources: dict[int | None, str] = {}  # by attempt; ``None``: the problem's
        self._counts_from = 0  # the turn after which those without a better kernel are counted

    def _repr_html_(self) -> str:
        """Show the run as a notebook shows it."""
        from refine_agent import report  # noqa: PLC0415 - only notebooks need pictures

        return report.transcript_html(self)

    def frame(self) -> DataFrame:
        """Return the attempts as a pandas frame, a row each; `frames` has the other tables."""
        from refine_agent import frames  # noqa: PLC0415 - only notebooks need tables

        return frames.turns(self)

    # --- opening --------------------------------------------------------------------------------

    @classmethod
    def create(cls, folder: Path, started: Started) -> Transcript:
        """Begin a run in a new folder and hold it for writing."""
        folder.mkdir(parents=True, exist_ok=False)
        run = cls(folder, lock=_take_lock(folder))
        run.record(started)
        return run

    @classmethod
    def open(cls, folder: Path) -> Transcript:
        """Open a run to go on with it; only one process at a time may.

        Raises:
            TranscriptError: another process writes it, a newer version wrote it, texts of it are
                not there, it ships with the package, or it is no run.
        """
        _require_run(folder)
        refuse_shipped(folder)
        run = cls(folder, lock=_take_lock(folder))
        try:
            run._load()
            run._require_known_format()
            run._require_texts()
            run._mend()
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def read(cls, folder: Path, *, texts: bool = True) -> Transcript:
        """Open a run to look at it, even while another process writes it.

        Without ``texts`` long texts stay the names of their blobs: enough for a list of runs.
        """
        _require_run(folder)
        run = cls(folder, texts=texts)
        run._load()
        return run

    def close(self) -> None:
        """Let another process write the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def writable(self) -> bool:
        """Whether this process holds the run for writing."""
        return self._lock is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self) -> None:
        path = self.folder / EVENTS
        with path.open("rb") as lines:
            for number, line in enumerate(_bounded_lines(lines), 1):
                self._load_line(number, line)
        if not self.events or not isinstance(self.events[0], Started):
            raise TranscriptError(
                f"{path} does not begin with a run's header; it is not a transcript of refine_agent"
            )
        if self._newer is not None:
            self.damaged.insert(
                0, f"format {self._newer} is newer than {SCHEMA}, which is all this version knows"
            )

    def _require_known_format(self) -> None:
        if self._newer is not None:
            raise TranscriptError(
                f"{self.folder} was written in format {self._newer}, and this version writes "
                f"{SCHEMA}; update refine_agent to go on with it, `show` tells what can be read"
            )

    def _require_texts(self) -> None:
        """Refuse to go on where a text is not what was written: the next prompt may quote it."""
        if self._lost:
            more = f" and {len(self._lost) - 1} more" if len(self._lost) > 1 else ""
            raise TranscriptError(
                f"{self.folder} is not whole: {self._lost[0]}{more}; copy its {BLOBS} folder again "
                "from where the run came from to go on with it, `show` tells what can be read"
            )

    @property
    def _newer(self) -> int | None:
        """The run's format, where it is newer than ours: what it holds may be more than we know."""
        return self.started.schema if self.started.schema > SCHEMA else None

    def _load_line(self, number: int, line: bytes | None) -> None:
        if line is None:
            self.damaged.append(f"line {number}: longer than {MAX_LINE_BYTES >> 20} MiB")
            return
        if not line.strip():
            return
        if not line.endswith(b"\n"):
            self.damaged.append(f"line {number}: cut off")
            return
        try:
            event = self._decode(number, line)
            self._fold(event)
        # RecursionError: a line nested thousands deep is nobody's event either.
        except (msgspec.DecodeError, LookupError, OSError, ValueError, RecursionError) as why:
            self.damaged.append(f"line {number}: {str(why)[:200]}")
            return
        self.events.append(event)

    def _decode(self, number: int, line: bytes) -> AnyEvent:
        if not self._texts or _BLOB.encode() not in line:
            return _decoder.decode(line)
        lost: dict[str, str] = {}
        content = self._restore(msgspec.json.decode(line), lost)
        event = _decoder.decode(msgspec.json.encode(content))
        found = [f"line {number}: {why}" for why in lost.values()]
        self._stand_ins |= lost
        self._lost += found
        self.damaged += found
        return self._without_lost_source(event, lost)

    def _without_lost_source(self, event: AnyEvent, lost: dict[str, str]) -> AnyEvent:
        """Return an event less the kernel that could not be read: what stands for it is none."""
        match event:
            case Started() if event.problem.source in lost:
                self._lost_sources[None] = lost[event.problem.source]
            case Offered() if event.source in lost:
                self._lost_sources[event.attempt] = lost[event.source]
            case Judged(candidate=Candidate() as candidate) if candidate.source in lost:
                self._lost_sources[event.attempt] = lost[candidate.source]
                return replace(event, candidate=None)
            case _:
                pass
        return event

    def why_source_is_lost(self, attempt: int | None) -> str | None:
        """Return why an attempt's kernel, or for ``None`` the problem, cannot be read, if so."""
        return self._lost_sources.get(attempt)

    def why_lost(self, text: str) -> str | None:
        """Return why a text cannot be read, if what is given only stands in its place."""
        return self._stand_ins.get(text)

    def _mend(self) -> None:
        """Cut off a half-written last line, so that the next event starts on a line of its own."""
        path = self.folder / EVENTS
        content_end = path.stat().st_size
        with path.open("rb+") as file:
            file.seek(max(0, content_end - 1))
            if content_end == 0 or file.read(1) == b"\n":
                return
            file.seek(0)
            kept = file.read().rfind(b"\n") + 1
            file.truncate(kept)
            os.fsync(file.fileno())

    # --- writing --------------------------------------------------------------------------------

    def record(self, event: AnyEvent) -> None:
        """Append one event; it is on the disk when this returns."""
        if self._lock is None:
            raise TranscriptError(
                f"{self.folder} was opened for reading only; open it for writing to record"
            )
        content = mask(msgspec.to_builtins(event))
        line = msgspec.json.encode(self._externalise(content))
        self._append(line)
        # Masked here too, so that a run that goes on and one that is resumed see the same.
        kept = _decoder.decode(msgspec.json.encode(content))
        self._fold(kept)
        self.events.append(kept)
        for listener in self.listeners:
            listener(kept)

    def _append(self, line: bytes) -> None:
        """Write a line; one that Ctrl-C tore in the middle gets its end before the next begins."""
        torn, self._torn = self._torn, True
        path = self.folder / EVENTS
        # Whoever looks at a run that is being begun sees none, or one with its header.
        begun = path if self.events else path.with_suffix(".begun")
        with begun.open("ab") as file:
            file.write((b"\n" if torn else b"") + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if begun != path:
            begun.rename(path)
        self._torn = False

    def _externalise(self, value: Any) -> Any:  # noqa: ANN401 - JSON is what JSON is
        if isinstance(value, dict):
            return {key: self._externalise(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._externalise(item) for item in value]
        if isinstance(value, str) and (len(value) > BLOB_FROM_CHARS or value.startswith(_BLOB)):
            return _BLOB + self.keep(value.encode("utf-8", "surrogatepass"))
        return value

    def keep(self, content: bytes) -> str:
        """Store bytes under their SHA-256 and return it as hex; storing twice stores once."""
        name = sha256(content).hexdigest()
        path = self._blob_path(name)
        if path.exists():
            return name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{secrets.token_hex(4)}")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        return name

    def kept(self, name: str) -> bytes:
        """Return the bytes stored under a SHA-256; raise ``TranscriptError`` if they are not it."""
        if not re.fullmatch(r"[0-9a-f]{64}", name):
            raise TranscriptError(f"{name[:80]!r} is not the name of a blob")
        try:
            content = self._blob_path(name).read_bytes()
        except OSError as why:
            raise TranscriptError(f"blob {name[:12]} cannot be read ({why.strerror})") from why
        if sha256(content).hexdigest() != name:
            raise TranscriptError(f"blob {name[:12]} was changed after it was written")
        return content

    def _blob_path(self, name: str) -> Path:
        return self.folder / BLOBS / name[:2] / name[2:]

    def _restore(self, value: Any, lost: dict[str, str]) -> Any:  # noqa: ANN401 - JSON is what JSON is
        """Put texts in the place of their blobs' names; ``lost`` gets what stands for the others.

        Each such stand-in is told why its text is not there.
        """
        if isinstance(value, dict):
            return {key: self._restore(item, lost) for key, item in value.items()}
        if isinstance(value, list):
            return [self._restore(item, lost) for item in value]
        if isinstance(value, str) and value.startswith(_BLOB):
            try:
                return self.kept(value.removeprefix(_BLOB)).decode("utf-8", "replace")
            except TranscriptError as why:
                shown = f"[not readable: {why}]"
                lost[shown] = str(why)
                return shown
        return value

    # --- folding events into what a reader sees --------------------------------------------------

    def _fold(self, event: AnyEvent) -> None:
        match event:
            case Prompted():
                self._prompts[event.turn] = event
            case Replied():
                self._attempts[event.attempt] = Attempt(
                    number=event.attempt, turn=event.turn, author="model", reply=event.reply
                )
            case Offered():
                self._attempts[event.attempt] = Attempt(
                    number=event.attempt, turn=event.turn, author=event.author
                )
            case Judged():
                self._update(event.attempt, verdict=event.verdict, candidate=event.candidate)
            case Profiled():
                self._update(
                    event.attempt,
                    page=event.page,
                    grade=event.grade,
                    profile_seconds=event.seconds,
                )
            case Sealed():
                self._update(event.attempt, sealed=event.verdict)
            case Vetoed():
                self._update(event.attempt, veto=event.reason)
            case TurnClosed():
                self._closed[event.turn] = event
            case _:
                pass
        self._reconsider(event)
        self._count_anew(event)

    def _reconsider(self, event: AnyEvent) -> None:
        """Note what is known of machine and problem now, and settle doubts that were about that."""
        match event:
            case Measured():
                self._setup = event.setup
                self._weakness.examined(weak=event.setup.fitness.weak)
            case Resumed():
                self._weakness.taken_up()
            case Judged() | Sealed():
                self._judged_under[event.attempt] = self._setup
                self._weakness.judged(event.verdict)
            case _:
                return
        if self._weakness.present or not self._weakness.was_doubted:
            return
        for number, attempt in self._attempts.items():
            self._attempts[number] = replace(
                attempt, verdict=_settled(attempt.verdict), sealed=_settled(attempt.sealed)
            )

    def _count_anew(self, event: AnyEvent) -> None:
        """Count turns without a better kernel from here where one was taken away.

        What is best after a veto or a seal that failed may have been found long ago, and whoever
        went back did so to look elsewhere: the turns before were not in vain until then.
        """
        match event:
            case Vetoed() | Moved():
                anew = True
            case Sealed():
                anew = not isinstance(event.verdict, Passed)
            case _:
                anew = False
        if anew:
            self._counts_from = max(self._closed, default=0)

    def _update(self, attempt: int, **fields: Any) -> None:  # noqa: ANN401 - checked by msgspec
        self._attempts[attempt] = replace(self._attempts[attempt], **fields)

    def last(self, kind: type[msgspec.Struct]) -> Any:  # noqa: ANN401 - an event of that kind
        """Return the last event of a kind, or ``None``."""
        return next((e for e in reversed(self.events) if isinstance(e, kind)), None)

    # --- the run --------------------------------------------------------------------------------

    @property
    def started(self) -> Started:
        """The header."""
        header = self.events[0]
        assert isinstance(header, Started)  # noqa: S101 - opening checked it
        return header

    @property
    def problem(self) -> Problem:
        """What the run is about."""
        return self.started.problem

    @property
    def options(self) -> Options:
        """How the run was asked for, as last changed."""
        changed: Changed | None = self.last(Changed)
        return changed.options if changed is not None else self.started.options

    @property
    def model(self) -> str:
        """Who answers, as last changed."""
        changed: Changed | None = self.last(Changed)
        return changed.model if changed is not None else self.started.model

    @property
    def setup(self) -> Setup | None:
        """What the bench last found out about machine and problem."""
        return self._setup

    def setup_of(self, attempt: int) -> Setup | None:
        """What was known of machine and problem when an attempt was judged or sealed."""
        return self._judged_under.get(attempt, self._setup)

    @property
    def setup_of_best(self) -> Setup | None:
        """What the best kernel was judged or sealed under; without one, what was last found out.

        A run that was copied and taken up elsewhere has a setup of each machine, and what is
        reported of its best kernel belongs to one of them.
        """
        best = self.best
        return self.setup_of(best.number) if best is not None else self._setup

    def device_of(self, attempt: int) -> str | None:
        """Return the device on which an attempt was judged or sealed, if it is known."""
        setup = self.setup_of(attempt)
        return setup.environment.device if setup is not None else None

    @property
    def weak(self) -> bool:
        """Whether, as last examined, an impostor passes, so that no speedup means anything."""
        return self._weakness.present

    @property
    def cost_usd(self) -> float:
        """Dollars paid for replies whose price is known."""
        replies = (attempt.reply for attempt in self.attempts)
        return sum(r.cost_usd for r in replies if r is not None and r.cost_usd is not None)

    @property
    def unpriced(self) -> tuple[Replied, ...]:
        """Replies that were bought at a price nobody knows; what a person writes is not bought."""
        found: list[Replied] = []
        model = self.started.model
        for event in self.events:
            if isinstance(event, Changed):
                model = event.model
            elif isinstance(event, Replied) and event.reply.cost_usd is None:
                found += [event] if not model.startswith(_WRITTEN) else []
        return tuple(found)

    @property
    def seconds(self) -> float:
        """Seconds of turns taken; pauses between them cost nothing."""
        return sum(closed.seconds for closed in self._closed.values())

    @property
    def stopped(self) -> Stopped | None:
        """Why the run is not running, or ``None`` if it was cut short or still runs."""
        final = self.events[-1]
        return final if isinstance(final, Stopped) else None

    # --- turns and attempts ---------------------------------------------------------------------

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt, in order."""
        return tuple(self._attempts[number] for number in sorted(self._attempts))

    def attempt(self, number: int) -> Attempt:
        """Return one attempt; raise ``TranscriptError`` if there is none of that number."""
        try:
            return self._attempts[number]
        except KeyError:
            known = f"1 to {max(self._attempts)}" if self._attempts else "none yet"
            raise TranscriptError(f"there is no attempt {number} in this run ({known})") from None

    def attempts_of(self, turn: int) -> tuple[Attempt, ...]:
        """Return the attempts of one turn."""
        return tuple(attempt for attempt in self.attempts if attempt.turn == turn)

    def turn(self, number: int) -> Turn:
        """Return one turn as a view."""
        prompted, closed = self._prompts.get(number), self._closed.get(number)
        faults = [e.fault for e in self.events if isinstance(e, Failed) and e.turn == number]
        attempts = self.attempts_of(number)
        finished = closed is not None and all(a.verdict is not None for a in attempts)
        return Turn(
            number=number,
            attempts=attempts,
            prompt=prompted.prompt if prompted is not None else None,
            ledger=closed.ledger if closed is not None else (),
            seconds=closed.seconds if closed is not None else None,
            fault=faults[-1] if faults and not finished else None,
        )

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every turn, in order."""
        return tuple(self.turn(number) for number in self._turn_numbers())

    def _turn_numbers(self) -> list[int]:
        return sorted({*self._prompts, *(attempt.turn for attempt in self._attempts.values())})

    @property
    def open_turn(self) -> int | None:
        """The turn that was begun and not closed: what a resumed run finishes first."""
        return next((n for n in self._turn_numbers() if n not in self._closed), None)

    @property
    def has_open_turn(self) -> bool:
        """Whether a turn was cut short with something to judge; a mere prompt can be left."""
        return self.open_turn is not None and bool(self.attempts_of(self.open_turn))

    @property
    def next_turn(self) -> int:
        """The number of the turn after the last."""
        return max(self._turn_numbers(), default=0) + 1

    @property
    def next_attempt(self) -> int:
        """The number of the attempt after the last."""
        return max(self._attempts, default=0) + 1

    @property
    def model_turns(self) -> int:
        """Turns for which replies were bought."""
        return sum(number in self._closed for number in self._prompts)

    def prompt_of(self, turn: int) -> Prompt | None:
        """Return the prompt of a turn, or ``None`` for an offer."""
        prompted = self._prompts.get(turn)
        return prompted.prompt if prompted is not None else None

    def before(self, turn: int) -> Transcript:
        """Return the run as it stood when the prompt of ``turn`` was written; for reading only."""
        past = Transcript(self.folder, texts=self._texts)
        asked = self._prompts.get(turn)
        for event in tuple(self.events):
            if event is asked:
                break
            if isinstance(event, Prompted) and event.turn == turn:
                continue  # it was replaced before anybody answered it
            past._fold(event)
            past.events.append(event)
        return past

    def is_given_up(self, attempt: int) -> bool:
        """Whether the machine failed on an attempt in the same way before: it is tried no more.

        Whatever a kernel does to the machine, it must not keep a run from going on.
        """
        faults = Counter(
            _VARIES.sub("#", event.fault)
            for event in self.events
            if isinstance(event, Failed) and event.attempt == attempt
        )
        return any(count >= MOST_FAULTS for count in faults.values())

    def samples_of(self, turn: int) -> int:
        """Return how many replies a turn asks for: as many as when it was begun."""
        asked = self.started.options.samples
        for event in self.events:
            if isinstance(event, Changed):
                asked = event.options.samples
            if event is self._prompts.get(turn):
                return asked
        return asked

    def phases_of(self, turn: int) -> list[Phase]:
        """Return the seconds of a turn by phase; builds that ran side by side count once."""
        spent: dict[str, float] = {}
        for attempt in self.attempts_of(turn):
            for phase in attempt.verdict.phases if attempt.verdict is not None else ():
                before = spent.get(phase.name, 0.0)
                side_by_side = phase.name == "build"
                spent[phase.name] = (
                    max(before, phase.seconds) if side_by_side else before + phase.seconds
                )
            if attempt.profile_seconds:
                spent["profile"] = spent.get("profile", 0.0) + attempt.profile_seconds
            if attempt.sealed is not None:
                sealing = sum(phase.seconds for phase in attempt.sealed.phases)
                spent["seal"] = spent.get("seal", 0.0) + sealing
        return [Phase(name=name, seconds=seconds) for name, seconds in spent.items()]

    @property
    def best(self) -> Attempt | None:
        """The fastest attempt that passed, survived its sealing and was not vetoed.

        A sealed result stands until another is faster beyond the noise of either. Sealing
        whoever leads by noise would rebuild every attempt that is about as fast.
        """
        passed = [attempt for attempt in self.attempts if attempt.passed is not None]
        fastest = ranking.fastest(passed)
        standing = ranking.fastest(attempt for attempt in passed if attempt.sealed is not None)
        if fastest is None or standing is None:
            return fastest
        return fastest if ranking.clearly_beats(fastest, standing) else standing

    @property
    def parent(self) -> Attempt | None:
        """The attempt the next turn revises: where the engineer moved to, else the best.

        A veto on where they moved to, with nothing better found from there, takes the move back.
        """
        moved: Moved | None = self.last(Moved)
        if moved is None:
            return self.best
        since = self.events[self.events.index(moved) :]
        newer = {event.attempt for event in since if isinstance(event, Judged)}
        branch = [a for a in self.attempts if a.number in newer and a.passed is not None]
        start = [self.attempt(moved.attempt)] if moved.attempt is not None else []
        better = [a for a in (*start, *branch) if a.passed is not None]
        if not better and start and start[0].veto is not None:
            return self.best
        return ranking.fastest(better) or (start[0] if start else None)

    @property
    def turns_since_best(self) -> int:
        """Model turns closed after the one that brought the best kernel.

        Those before a veto, a move or a seal that failed are not counted.
        """
        since = max(self.best.turn if self.best is not None else 0, self._counts_from)
        return sum(number in self._closed and number > since for number in self._prompts)

    @property
    def hints(self) -> tuple[Hinted, ...]:
        """What the engineer said since the last prompt that anybody answered."""
        said: list[Hinted] = []
        carried = 0
        for event in self.events:
            match event:
                case Prompted():
                    carried = len(said)
                case Replied():
                    said, carried = said[carried:], 0
                case Hinted():
                    said.append(event)
                case _:
                    pass
        return tuple(said)

    def read_candidate(
        self, attempt: int, extract: Callable[[Reply, int | None], Candidate | Unreadable]
    ) -> Candidate | Unreadable:
        """Return the kernel an attempt puts forward: the reply's, or the one that was offered."""
        for event in self.events:
            if isinstance(event, Offered) and event.attempt == attempt:
                return Candidate(
                    source=event.source,
                    author=event.author,
                    parent=event.parent,
                    idea=event.idea,
                )
        known = self.attempt(attempt)
        assert known.reply is not None  # noqa: S101 - a model's attempt begins with its reply
        prompted = self._prompts[known.turn]
        return extract(known.reply, prompted.parent)


# --- doubts that a later examination settles -----------------------------------------------------

WEAK = "weak problem"  # the judge's name for its doubt


class _Weakness:
    """Whether the problem is weak, as far as the events so far tell."""

    def __init__(self) -> None:
        self.present = False
        self.was_doubted = False
        self._taken_up = False

    def examined(self, *, weak: bool) -> None:
        """The problem was examined."""
        self.present, self._taken_up = weak, False

    def taken_up(self) -> None:
        """The run was taken up again, which examines the problem anew.

        Older runs did not write down what came of that where the machine was the same; there the
        verdicts that follow tell.
        """
        self._taken_up = True

    def judged(self, verdict: AnyVerdict) -> None:
        """A kernel was judged; where it passed, its verdict names the weakness or does not."""
        if not isinstance(verdict, Passed):
            return
        doubted = any(doubt.kind == WEAK for doubt in verdict.suspicions)
        if self.was_doubted and self._taken_up and not doubted:
            self.present = False
        self.was_doubted = self.was_doubted or doubted


def _settled(verdict: AnyVerdict | None) -> AnyVerdict | None:
    if not isinstance(verdict, Passed):
        return verdict
    left = tuple(doubt for doubt in verdict.suspicions if doubt.kind != WEAK)
    return replace(verdict, suspicions=left) if len(left) < len(verdict.suspicions) else verdict


# --- secrets never reach the disk ----------------------------------------------------------------

_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_MIN_SECRET_CHARS = 8


def mask(value: Any) -> Any:  # noqa: ANN401 - JSON is what JSON is
    """Return a JSON value with this process's secrets and its home masked, fit for UTF-8."""
    found = [
        (secret, f"[{name}]")
        for name, secret in os.environ.items()
        if _SECRET_NAME.search(name) and len(secret) >= _MIN_SECRET_CHARS
    ]
    home = str(Path.home())
    if len(home) > 1:
        found.append((home + "/", "~/"))
    return _mask(value, found)


def _mask(value: Any, found: list[tuple[str, str]]) -> Any:  # noqa: ANN401 - JSON is what JSON is
    if isinstance(value, dict):
        return {key: _mask(item, found) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mask(item, found) for item in value]
    if isinstance(value, str):
        for secret, shown in found:
            value = value.replace(secret, shown)
        # Half a surrogate pair, as a cut-off stream can leave, has no place in a file of UTF-8.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    return value


# --- files ---------------------------------------------------------------------------------------


def _require_run(folder: Path) -> None:
    if not (folder / EVENTS).is_file():
        raise TranscriptError(
            f"{folder} holds no run (there is no {EVENTS} in it); "
            "`refine_agent show` lists the runs it finds"
        )


def refuse_shipped(folder: Path) -> None:
    """Raise ``TranscriptError`` where a run ships with the package: nobody writes into those."""
    if not folder.resolve().is_relative_to(RECORDED.resolve()):
        return
    raise TranscriptError(
        f"{folder.name} ships with refine_agent and stays as it is; copy its folder first "
        f"(cp -r {folder} .), or replay its answers with --model recorded:{folder.name}"
    )


def is_being_written(folder: Path) -> bool:
    """Whether a process has the run open for writing now."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _take_lock(folder: Path) -> int:
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for _ in range(LOCK_TRIES):
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        # Somebody who only asks whether it is held lets go of it at once.
        time.sleep(LOCK_WAIT_S)
    else:
        os.close(handle)
        raise TranscriptError(
            f"another process is writing {folder}; wait for it, stop it, "
            f"or steer it with `refine_agent hint {folder} TEXT`"
        ) from None
    return handle


def _bounded_lines(file: Any) -> Iterator[bytes | None]:  # noqa: ANN401 - a binary file
    """Yield lines; ``None`` stands for one that is too long to be ours."""
    while line := file.readline(MAX_LINE_BYTES):
        if line.endswith(b"\n") or len(line) < MAX_LINE_BYTES:
            yield line
            continue
        while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
            pass
        yield None


def runs_in(folder: Path) -> list[Path]:
    """Return the run folders below ``folder``, oldest first."""
    return sorted(path.parent for path in folder.glob(f"*/{EVENTS}")) if folder.is_dir() else []
