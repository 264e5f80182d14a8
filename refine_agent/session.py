"""The loop with an engineer in it: the same for the shell, a notebook and a coding agent outside.

A session holds one transcript for writing, opens author and bench when they are first needed, and
records everything anyone does; how a run looks and how a person is asked is left to its callers.
"""

from __future__ import annotations

import difflib
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from refine_agent import __version__, inbox, loop
from refine_agent.author import AuthorFault, default_model, open_author, why_no_model
from refine_agent.bench import IN_TURNS, LocalBench
from refine_agent.problem import load
from refine_agent.profiling import delta
from refine_agent.profiling.records import Change  # noqa: TC001 - a record's field
from refine_agent.records import (
    Attempt,
    Changed,
    Hinted,
    Moved,
    Offered,
    Options,
    Problem,
    Profiled,
    Record,
    Resumed,
    Started,
    Stopped,
    Turn,
    TurnClosed,
    Vetoed,
    digest_of,
    headline,
)
from refine_agent.transcript import SCHEMA, Transcript, TranscriptError, new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pandas import DataFrame

    from refine_agent.loop import Author, Bench, Watch
    from refine_agent.profiling.records import Page
    from refine_agent.records import AnyEvent, AuthorKind, Printer, Prompt, Reply, Setup

RUNS = Path("transcripts")
PACKAGE = Path(__file__).parent


class Unchanged:
    """The value of a limit that ``Session.change`` shall leave alone; ``None`` lifts it."""


UNCHANGED = Unchanged()


class SessionError(Exception):
    """The session cannot do what was asked; the message says why and what to do."""


class Difference(Record, frozen=True, kw_only=True):
    """What lies between two attempts: their pages and their sources."""

    a: Attempt
    b: Attempt
    changes: tuple[Change, ...]  # of b's page since a's; empty where one has no page
    source: str  # a unified diff

    def __str__(self) -> str:
        """Return it for a terminal: both verdicts, what changed in the profile, the diff."""
        lines = [_titled(self.a), _titled(self.b), *(f"  {change.text}" for change in self.changes)]
        return "\n".join([*lines, "", self.source])

    def _repr_html_(self) -> str:
        """Show it as a notebook shows it."""
        from refine_agent import report  # noqa: PLC0415 - only notebooks need pictures

        return report.difference_html(self.a, self.b, self.changes)

    def _repr_pretty_(self, printer: Printer, _cycle: bool) -> None:  # noqa: FBT001 - IPython's
        """Print it as a notebook prints it."""
        printer.text(f"what lies between attempts {self.a.number} and {self.b.number}")


class Session:
    """One run, and an engineer who may take a turn in it whenever they like."""

    def __init__(
        self,
        transcript: Transcript,
        *,
        author: Author | None = None,
        bench: Bench | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.transcript = transcript
        self.watch = watch or loop.Quiet()
        self.stop_requested: str | None = None
        self._author = author
        self._author_is_ours = author is None
        self._bench = bench
        self._bench_is_ours = bench is None
        self._begun = False
        self._opened = ExitStack()

    # --- opening and leaving --------------------------------------------------------------------

    @classmethod
    def start(  # noqa: PLR0913 - each is a thing a caller may bring
        cls,
        problem: Problem | Path | str,
        *,
        model: str | None = None,
        options: Options | None = None,
        runs: Path = RUNS,
        author: Author | None = None,
        bench: Bench | None = None,
        watch: Watch | None = None,
    ) -> Session:
        """Begin a run in a new folder below ``runs``.

        ``problem`` is a file or a ``Problem``; ``model`` a litellm name, ``recorded:RUN``,
        ``script:DIR`` or ``manual``. ``author`` and ``bench`` replace what these would open, as
        `standins` does.

        Raises:
            ProblemError: the file is no problem.
            SessionError: nobody is there to answer.
        """
        if not isinstance(problem, Problem):
            problem = load(Path(problem))
        options = options or Options()
        if author is not None:
            model = model or author.name
        elif model is not None:
            _require_answers(model, options)
        started = Started(
            at=time.time(),
            schema=SCHEMA,
            run=new_run_id(),
            problem=problem,
            model=model or _default_model(problem, options),
            options=options,
            templates=template_digests(),
            version=__version__,
            git_commit=_own_commit(),
        )
        transcript = Transcript.create(runs / f"{started.run}-{problem.name}", started)
        return cls(transcript, author=author, bench=bench, watch=watch)

    @classmethod
    def open(
        cls,
        run: Path | str,
        *,
        author: Author | None = None,
        bench: Bench | None = None,
        watch: Watch | None = None,
    ) -> Session:
        """Take up a run where it stands; raise ``TranscriptError`` while another process has it."""
        transcript = Transcript.open(Path(run))
        transcript.record(Resumed(at=time.time()))
        return cls(transcript, author=author, bench=bench, watch=watch)

    def save(self, reason: str = "saved", *, resumable: bool = True) -> None:
        """Write down that nobody works on the run now; everything else is on the disk already."""
        if self.transcript.stopped is None:
            self.transcript.record(Stopped(at=time.time(), reason=reason, resumable=resumable))
        self.stop_requested = None  # it has stopped; whoever goes on now wants it to go on

    def close(self) -> None:
        """Save, let go of author and bench, and let another process write the run."""
        try:
            self._opened.close()
        finally:
            if self.transcript.writable:
                self.save()
            self.transcript.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- the model's turns ----------------------------------------------------------------------

    def step(self, hint: str | None = None) -> Turn:
        """Take one turn: what lies in the inbox first, then the model with an optional hint."""
        if hint is not None:
            self.hint(hint)
        with self._pausing():
            if self._lacks_replies():
                self._who_answers()  # a wrong key is better known before minutes of measuring
            bench = self._ready()
            self.take_up()
            author = _Whoever(self) if self._author is None else self._author
            return loop.take_turn(self.transcript, author, bench, self.watch)

    def run(self, turns: int | None = None) -> tuple[Turn, ...]:
        """Take ``turns`` turns, or as many as the budget allows; seal and save when it is spent.

        Where a note asks it to stop it saves at once: sealing takes minutes.
        """
        taken: list[Turn] = []
        while (why := self.boundary()) is None and (turns is None or len(taken) < turns):
            taken.append(self.step())
        if self.stop_requested is not None:
            self.save(self.stop_requested)
        elif why is not None:
            self.finish(why)
        return tuple(taken)

    def boundary(self) -> str | None:
        """Do what the inbox asks for, then say why the run should stop here, if it should."""
        self.take_up()
        target = self.transcript.options.budget.target
        if target is not None and self._needs_sealing() and not self.transcript.has_open_turn:
            with self._pausing():
                loop.seal_if_target(self.transcript, self._ready(), self.watch)
        return self.why_over()

    def why_over(self) -> str | None:
        """Say why the run should stop here, or ``None`` while there is budget left."""
        return self.stop_requested or loop.spent(self.transcript)

    def finish(self, reason: str) -> Attempt | None:
        """Seal the best kernel and close the books; return what may be reported."""
        with self._pausing():
            if self._needs_sealing():
                loop.seal_best(self.transcript, self._ready(), self.watch)
        self.save(reason, resumable=self.stop_requested is not None)
        return self.best

    # --- the engineer's turns -------------------------------------------------------------------

    def hint(self, text: str, *, note: str | None = None) -> None:
        """Tell the model something; the next prompt carries it."""
        if not text.strip():
            raise SessionError("the hint is empty; say what the model should know")
        self.transcript.record(Hinted(at=time.time(), text=text.strip(), note=note))

    def offer(
        self,
        source: str,
        *,
        idea: str | None = None,
        parent: int | None = None,
        author: AuthorKind = "engineer",
        note: str | None = None,
    ) -> Turn:
        """Put a kernel of your own on the bench, judged like any other."""
        if parent is not None:
            self.transcript.attempt(parent)
        with self._pausing():
            return loop.offer(
                self.transcript,
                self._ready(),
                source,
                parent=parent,
                idea=idea,
                author=author,
                note=note,
                watch=self.watch,
            )

    def edit(self, attempt: int, source: str, *, idea: str | None = None) -> Turn:
        """Offer a changed version of an attempt's kernel."""
        if source == self.source(attempt):
            raise SessionError(f"the text is that of attempt {attempt}; nothing was changed")
        return self.offer(source, parent=attempt, idea=idea or f"edit of attempt {attempt}")

    def veto(self, attempt: int, reason: str, *, note: str | None = None) -> None:
        """Rule an attempt out: it is no parent and no winner any more."""
        self.transcript.attempt(attempt)
        if not reason.strip():
            raise SessionError("a veto needs a reason; the model reads it")
        self.transcript.record(
            Vetoed(at=time.time(), attempt=attempt, reason=reason.strip(), note=note)
        )

    def back(self, attempt: int | None, reason: str = "", *, note: str | None = None) -> None:
        """Go on from this attempt (``None``: from the reference), whatever was best."""
        if attempt is not None:
            self.source(attempt)  # an attempt without a kernel cannot be revised
        self.transcript.record(Moved(at=time.time(), attempt=attempt, reason=reason, note=note))

    def branch(self, attempt: int) -> Session:
        """Begin another run with this one's history up to the attempt, to go on from it.

        What the engineer said since of that history holds for the branch too, as do the limits and
        the model of now.
        """
        turn = self.transcript.attempt(attempt).turn
        self.source(attempt)
        header = self.transcript.started
        fresh = replace(
            header,
            at=time.time(),
            run=new_run_id(),
            forked_from=f"{header.run}#{attempt}",
        )
        folder = self.transcript.folder.parent / f"{fresh.run}-{fresh.problem.name}"
        forked = Transcript.create(folder, fresh)
        for event in _history_up_to(self.transcript, turn):
            forked.record(event)
        for said in _said_since(self.transcript, forked):
            forked.record(said)
        now = self.transcript.options, self.transcript.model
        if (forked.options, forked.model) != now:
            forked.record(Changed(at=time.time(), options=now[0], model=now[1]))
        forked.record(Moved(at=time.time(), attempt=attempt, reason=f"branched from {header.run}"))
        # What was handed in serves the branch too; what was opened here belongs to this run.
        author = None if self._author_is_ours else self._author
        bench = None if self._bench_is_ours else self._bench
        return Session(forked, author=author, bench=bench, watch=self.watch)

    def change(  # noqa: PLR0913 - each is one thing that may change
        self,
        *,
        model: str | None = None,
        turns: int | Unchanged | None = UNCHANGED,
        target: float | Unchanged | None = UNCHANGED,
        usd: float | Unchanged | None = UNCHANGED,
        minutes: float | Unchanged | None = UNCHANGED,
        patience: int | Unchanged | None = UNCHANGED,
        samples: int | None = None,
    ) -> None:
        """Change who answers or when to stop; ``None`` lifts that limit."""
        limits = {
            "turns": turns,
            "target": target,
            "usd": usd,
            "minutes": minutes,
            "patience": patience,
        }
        given = {name: limit for name, limit in limits.items() if not isinstance(limit, Unchanged)}
        before = self.transcript.options
        if model is not None and self._author_is_ours:
            _require_answers(model, before)
        options = replace(
            before,
            budget=replace(before.budget, **given),
            samples=samples if samples is not None else before.samples,
        )
        self.transcript.record(
            Changed(at=time.time(), options=options, model=model or self.transcript.model)
        )
        if model is not None and self._author_is_ours:
            self._author = None

    def measure(self) -> Setup:
        """Let the bench set up if it has not, and return what it found."""
        with self._pausing():
            self._ready()
        setup = self.transcript.setup
        assert setup is not None  # noqa: S101 - being ready means having measured
        return setup

    def seal(self) -> Attempt | None:
        """Rebuild the best kernel with torch's own headers and judge it afresh; return the best."""
        with self._pausing():
            return loop.seal_best(self.transcript, self._ready(), self.watch)

    def profile(self, attempt: int) -> Page:
        """Return the profile page of a kernel that passed, measuring it if nobody has yet."""
        known = self.transcript.attempt(attempt)
        if known.page is not None:
            return known.page
        if known.passed is None or known.candidate is None:
            found = headline(known.verdict) if known.verdict is not None else "not judged yet"
            raise SessionError(
                f"attempt {attempt} did not pass ({found}), so there is nothing worth profiling"
            )
        with self._pausing():
            began = time.monotonic()
            self.watch.phase("profile")
            page = self._ready().profile(known.candidate, known.passed, self.watch)
        if page is None:
            raise SessionError("profiling is switched off in this run (--profile off)")
        seconds = time.monotonic() - began
        self.transcript.record(
            Profiled(at=time.time(), turn=known.turn, attempt=attempt, page=page, seconds=seconds)
        )
        return page

    # --- looking --------------------------------------------------------------------------------

    @property
    def best(self) -> Attempt | None:
        """The fastest attempt that passed, survived its sealing and was not vetoed."""
        return self.transcript.best

    def source(self, attempt: int) -> str:
        """Return the kernel of an attempt; raise ``SessionError`` when it has none."""
        return source_of(self.transcript, attempt)

    def diff(self, a: int, b: int) -> Difference:
        """Compare two attempts: verdicts, what changed in the profile, the sources."""
        return difference(self.transcript, a, b)

    def frame(self) -> DataFrame:
        """Return the attempts as a pandas frame, a row each."""
        from refine_agent import frames  # noqa: PLC0415 - only notebooks need tables

        return frames.turns(self.transcript)

    def _repr_html_(self) -> str:
        """Show the run as a notebook shows it."""
        from refine_agent import report  # noqa: PLC0415 - only notebooks need pictures

        return report.transcript_html(self.transcript)

    # --- the inbox ------------------------------------------------------------------------------

    def take_up(self) -> int:
        """Do what the notes in the inbox ask for; return how many there were.

        A note's file goes once what it asks for is recorded, so a kill in between loses nothing;
        what is found done already is not done twice.
        """
        count = 0
        for letter in inbox.waiting(self.transcript.folder):
            if not _is_done(self.transcript, letter):
                self._do(letter)
            Path(letter.path).unlink(missing_ok=True)
            count += 1
        return count

    def _do(self, letter: inbox.Letter) -> None:
        note, name = letter.note, letter.name
        try:
            match note:
                case inbox.Hint():
                    self.hint(note.text, note=name)
                case inbox.Offer():
                    parent = note.parent or self._parent()
                    self.offer(note.source, idea=note.idea, parent=parent, note=name)
                case inbox.Veto():
                    self.veto(note.attempt, note.reason, note=name)
                case inbox.Back():
                    self.back(note.attempt, note=name)
                case inbox.Stop():
                    self.stop_requested = "stopped by the engineer"
                case None:
                    unread = f"[a note in the inbox could not be read: {letter.why_not}]"
                    self.hint(unread, note=name)
        except (SessionError, TranscriptError) as why:
            # Nobody stands by to be told; the run's record is where they will look.
            self.transcript.record(Hinted(at=time.time(), text=f"[not done: {why}]", note=name))

    def _parent(self) -> int | None:
        parent = self.transcript.parent
        return parent.number if parent is not None else None

    # --- author and bench, opened when first needed ----------------------------------------------

    def _ready(self) -> Bench:
        """Return the bench, measured and ready for candidates."""
        if self._bench is None:
            run = self.transcript
            self._bench = self._opened.enter_context(
                LocalBench(run.problem, run.options, run.folder, deadlines=IN_TURNS)
            )
        if not self._begun:
            loop.begin(self.transcript, self._bench, self.watch)
            self._begun = True
        return self._bench

    def _lacks_replies(self) -> bool:
        """Whether the next turn needs an answer; one cut short may hold all of its own."""
        run = self.transcript
        if run.open_turn is None:
            return True
        missing = run.samples_of(run.open_turn) - len(run.attempts_of(run.open_turn))
        return run.prompt_of(run.open_turn) is not None and missing > 0

    def _who_answers(self) -> Author:
        if self._author is None:
            self._author = open_author(
                self.transcript.model,
                options=self.transcript.options,
                transcript=self.transcript,
            )
        return self._author

    def _needs_sealing(self) -> bool:
        return self.best is not None and self.best.sealed is None

    @contextmanager
    def _pausing(self) -> Iterator[None]:
        """Write down why a turn broke off, then let the caller know."""
        try:
            yield
        except KeyboardInterrupt:
            self.save("interrupted")
            raise
        except (loop.NoAnswer, loop.BenchFault, AuthorFault) as why:
            self.save(str(why))
            raise


class _Whoever:
    """An author who is opened only if somebody is asked for."""

    def __init__(self, session: Session) -> None:
        self.name = session.transcript.model
        self._session = session

    def has_answer(self, turn: int) -> bool:
        """Ask the run's author, where answers can be there before they are asked for."""
        author = self._session._who_answers()  # noqa: SLF001
        return isinstance(author, loop.Foresighted) and author.has_answer(turn)

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Pass the question on to the run's author."""
        return self._session._who_answers().ask(prompt, attempt=attempt, watch=watch)  # noqa: SLF001


def source_of(transcript: Transcript, attempt: int) -> str:
    """Return the kernel of an attempt; raise ``SessionError`` when it has none to be read."""
    known = transcript.attempt(attempt)
    if known.candidate is not None:
        return known.candidate.source
    lost = transcript.why_source_is_lost(attempt)
    if lost is not None:
        raise SessionError(f"the kernel of attempt {attempt} is not readable: {lost}")
    if known.verdict is None:
        raise SessionError(
            f"attempt {attempt} was not judged, so no kernel of it is known to go on from; "
            "offer its text to have it judged"
        )
    raise SessionError(f"attempt {attempt} has no kernel: its reply held none")


def difference(transcript: Transcript, a: int, b: int) -> Difference:
    """Compare two attempts of a run; raise ``SessionError`` when there are not two."""
    if a == b:
        raise SessionError(f"nothing lies between attempt {a} and itself; name two attempts")
    before, after = transcript.attempt(a), transcript.attempt(b)
    text = difflib.unified_diff(
        source_of(transcript, a).splitlines(),
        source_of(transcript, b).splitlines(),
        f"attempt {a}",
        f"attempt {b}",
        lineterm="",
    )
    changes: tuple[Change, ...] = ()
    if before.page is not None and after.page is not None:
        changes = delta.changes(before.page, after.page)
    return Difference(a=before, b=after, changes=changes, source="\n".join(text))


def template_digests() -> dict[str, str]:
    """Return the digest of each prompt's template: they are source code, and a run names them."""
    folder = PACKAGE / "templates"
    return {
        path.relative_to(folder).as_posix(): digest_of(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.md.j2"))
    }


def _default_model(problem: Problem, options: Options) -> str:
    model = default_model(problem, device=options.device)
    if model is not None:
        return model
    if options.api_base is not None:
        raise SessionError(
            f"no model is named for the server at {options.api_base}; add --model openai/NAME"
        )
    raise SessionError(why_no_model(problem, device=options.device))


def _require_answers(model: str, options: Options) -> None:
    """Refuse a recording or a folder that is not there before anything is written or measured.

    Whether a model answers only asking it can tell.
    """
    if model.partition(":")[0] not in {"recorded", "script"}:
        return
    try:
        open_author(model, options=options, transcript=None)
    except AuthorFault as why:
        raise SessionError(str(why)) from None


def _own_commit() -> str | None:
    """Return the commit this package was checked out at; ``None`` when it was installed."""
    try:
        found = subprocess.run(
            ["git", "-C", str(PACKAGE), "rev-parse", "--show-toplevel", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    top, commit = found.stdout.split("\n")[:2]
    # Installed into an environment inside somebody's repository, the commit would be theirs.
    return commit if Path(top).resolve() == PACKAGE.parent.resolve() else None


def _history_up_to(transcript: Transcript, turn: int) -> Iterator[AnyEvent]:
    for event in transcript.events[1:]:
        if not isinstance(event, Stopped | Resumed):
            yield event
        if isinstance(event, TurnClosed) and event.turn == turn:
            return


def _said_since(transcript: Transcript, forked: Transcript) -> Iterator[AnyEvent]:
    """Yield what the engineer said of a branch's history after it: vetoes, and hints that wait."""
    shared = {attempt.number for attempt in forked.attempts}
    known = tuple(forked.events)
    waiting = transcript.hints
    for event in transcript.events:
        if event in known:
            continue
        match event:
            case Vetoed() if event.attempt in shared:
                yield event
            case Hinted() if event in waiting:
                yield event
            case _:
                pass


def _is_done(transcript: Transcript, letter: inbox.Letter) -> bool:
    """Whether what came of a note is recorded already, and only its file outlived a kill."""
    return any(
        isinstance(event, Hinted | Offered | Vetoed | Moved) and event.note == letter.name
        for event in transcript.events
    )


def _titled(attempt: Attempt) -> str:
    found = headline(attempt.verdict) if attempt.verdict is not None else "not judged yet"
    idea = attempt.candidate.idea if attempt.candidate is not None else None
    return f"attempt {attempt.number} ({attempt.author}): {found}" + (f" · {idea}" if idea else "")
