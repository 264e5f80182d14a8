"""The loop: ask, build, judge, profile, record; once per turn, until the budget says stop.

The transcript is the only state, so every step first looks whether it has been recorded already;
resuming, replaying and pairing are all "open a transcript and take another turn". What a candidate
is worth is the bench's finding, and what the next prompt says is a function of the transcript.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol, Self, TypeVar, runtime_checkable

from msgspec.structs import replace

from refine_agent import ranking, remeasured
from refine_agent.profiling import delta
from refine_agent.prompts import render
from refine_agent.records import (
    Candidate,
    Changed,
    Failed,
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
    TurnClosed,
    Unreadable,
)
from refine_agent.reply import extract

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from refine_agent.profiling.records import Page
    from refine_agent.records import (
        AnyVerdict,
        Attempt,
        AuthorKind,
        Problem,
        Prompt,
        Reply,
        Setup,
        Turn,
    )
    from refine_agent.transcript import Transcript

R = TypeVar("R")


class Watch(Protocol):
    """Whoever looks on while a turn runs: the terminal, a notebook, a test, nobody."""

    def phase(self, name: str) -> None:
        """Say which phase begins now."""

    def text(self, piece: str) -> None:
        """Show a piece of a reply as it streams in."""


class Quiet:
    """A watch that shows nothing."""

    def phase(self, name: str) -> None:
        """Ignore the phase."""

    def text(self, piece: str) -> None:
        """Ignore the piece."""


class Author(Protocol):
    """Whoever writes kernels: litellm, a recording, a folder of answers, a person."""

    name: str

    def ask(self, prompt: Prompt, *, attempt: int, watch: Watch) -> Reply:
        """Answer the prompt. Raise ``NoAnswer`` when the answer is not there yet."""


@runtime_checkable
class Foresighted(Protocol):
    """An author whose answer may lie there before the question is put, as in a person's file."""

    def has_answer(self, turn: int) -> bool:
        """Whether the turn's answer is there already: its prompt must stay the one it answers."""


class NoAnswer(Exception):  # noqa: N818 - it is not an error: the run waits
    """The answer does not exist yet; the run stops here and goes on with ``resume``."""


class BenchFault(Exception):  # noqa: N818 - a fault of the machine, in the field's word
    """The machine, not the candidate, is at fault; the message names cause and next step."""

    attempt: int | None = None  # whose kernel was at work when it came up


class ProblemRefused(BenchFault):
    """The problem cannot be judged on: its file raises, or returns what nobody can compare."""


class Bench(Protocol):
    """Whatever runs untrusted code and reports back: child processes on a GPU, or a script."""

    def measure(self, problem: Problem, watch: Watch) -> Setup:
        """Measure machine, problem and baselines; once, before the first candidate."""

    def build(self, candidate: Candidate, watch: Watch) -> AnyVerdict | None:
        """Compile what the candidate asks for; ``None`` when it built. Safe to call in parallel."""

    def judge(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Check and time the candidate."""

    def profile(self, candidate: Candidate, verdict: Passed, watch: Watch) -> Page | None:
        """Say where the candidate's time goes."""

    def seal(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Rebuild with torch's own headers, then judge in a fresh process under a fresh seed."""


@runtime_checkable
class Industrious(Protocol):
    """A bench that has something to do while the model thinks."""

    def meanwhile(self, candidate: Candidate) -> AbstractContextManager[object]:
        """Get ready, while the block lasts, for sealing what is the best kernel so far."""


def refine(
    transcript: Transcript, author: Author, bench: Bench, watch: Watch | None = None
) -> Iterator[Turn]:
    """Yield turns until the budget is spent; the caller sets the pace."""
    watch = watch or Quiet()
    begin(transcript, bench, watch)
    seal_if_target(transcript, bench, watch)
    while spent(transcript) is None:
        yield take_turn(transcript, author, bench, watch)
    seal_best(transcript, bench, watch)


def begin(transcript: Transcript, bench: Bench, watch: Watch) -> None:
    """Let the bench set up, and record what it found if that is news: prompts go by the latest."""
    known, setup = transcript.setup, bench.measure(transcript.problem, watch)
    if known is None or remeasured.has_news(known, setup):
        transcript.record(Measured(at=time.time(), setup=setup))


def spent(transcript: Transcript) -> str | None:  # noqa: PLR0911 - one line per limit
    """Say why the run is over, or ``None`` while there is budget left."""
    budget, best = transcript.options.budget, transcript.best
    if budget.target is not None and best is not None and _reached(best, budget.target):
        return (
            f"reached {best.speedup:.2f}x, at least {best.at_least:.2f}x "
            f"(target {budget.target:.2f}x)"
        )
    if transcript.has_open_turn:
        return None
    if budget.turns is not None and transcript.model_turns >= budget.turns:
        return f"{transcript.model_turns} of {budget.turns} turns taken"
    if budget.usd is not None and (why := _paid(transcript, budget.usd)) is not None:
        return why
    if budget.minutes is not None and transcript.seconds >= budget.minutes * 60:
        return f"{transcript.seconds / 60:.1f} of {budget.minutes:g} minutes used"
    if budget.patience is not None and transcript.turns_since_best >= budget.patience:
        return f"no better kernel in {transcript.turns_since_best} turns"
    return None


def _paid(transcript: Transcript, usd: float) -> str | None:
    """Say why no more replies may be bought, or ``None``: a sum that nobody knows has no limit."""
    if transcript.cost_usd >= usd:
        return f"${transcript.cost_usd:.2f} of ${usd:.2f} spent"
    model = _of_unknown_price(transcript)
    if model is None:
        return None
    return (
        f"the price of {model} is unknown, so that ${usd:.2f} cannot be kept to; give dollars per "
        "million tokens, as in export REFINE_AGENT_PRICING="
        f'\'{{"{model}": {{"input": 3.0, "output": 15.0}}}}\', then resume'
    )


def _of_unknown_price(transcript: Transcript) -> str | None:
    """Return the model whose reply has no known price, if it came since a person had a say.

    Whoever resumes the run, branches off it or changes its limits has read that it is unknown.
    """
    unpriced = transcript.unpriced
    for event in reversed(transcript.events):
        if isinstance(event, Resumed | Changed | Moved):
            return None
        if isinstance(event, Replied) and any(event is each for each in unpriced):
            return event.reply.model
    return None


def _reached(best: Attempt, target: float) -> bool:
    """Only a sealed result stops a run, and only when its whole interval meets the target.

    The light build's lower call overhead flatters, and half of all intervals around a target lie
    below it.
    """
    return isinstance(best.sealed, Passed) and best.at_least >= target


def take_turn(transcript: Transcript, author: Author, bench: Bench, watch: Watch) -> Turn:
    """Take the next turn, or finish the one that was cut short."""
    began = time.monotonic()
    turn = transcript.open_turn
    if turn is None or _may_be_asked_anew(transcript, turn, author):
        turn = _write_prompt(transcript, watch)
    with _meanwhile(transcript, bench):
        _ask(transcript, turn, author, watch)
    _evaluate(transcript, turn, bench, watch)
    return _close(transcript, turn, time.monotonic() - began)


def offer(  # noqa: PLR0913 - what an engineer may say of a kernel, and who looks on
    transcript: Transcript,
    bench: Bench,
    source: str,
    *,
    parent: int | None = None,
    idea: str | None = None,
    author: AuthorKind = "engineer",
    note: str | None = None,
    watch: Watch | None = None,
) -> Turn:
    """Put somebody's own kernel on the bench, exactly as the model's would be."""
    began, watch = time.monotonic(), watch or Quiet()
    begin(transcript, bench, watch)
    turn, attempt = transcript.next_turn, transcript.next_attempt
    transcript.record(
        Offered(
            at=time.time(),
            turn=turn,
            attempt=attempt,
            source=source,
            author=author,
            parent=parent,
            idea=idea,
            note=note,
        )
    )
    _evaluate(transcript, turn, bench, watch)
    return _close(transcript, turn, time.monotonic() - began)


def _may_be_asked_anew(transcript: Transcript, turn: int, author: Author) -> bool:
    """Whether a prompt may still be replaced: nothing was paid for it, and nobody has answered."""
    if transcript.prompt_of(turn) is None or transcript.attempts_of(turn):
        return False
    return not (isinstance(author, Foresighted) and author.has_answer(turn))


def _write_prompt(transcript: Transcript, watch: Watch) -> int:
    """Write the prompt of the next turn, or the open one's anew where the run has gone on since."""
    watch.phase("prompt")
    turn, parent = transcript.open_turn or transcript.next_turn, transcript.parent
    prompt = render(transcript)
    if prompt != transcript.prompt_of(turn):
        number = parent.number if parent is not None else None
        transcript.record(Prompted(at=time.time(), turn=turn, prompt=prompt, parent=number))
    return turn


def _meanwhile(transcript: Transcript, bench: Bench) -> AbstractContextManager[object]:
    """Have a bench that can get ready for the seal, if one is due should nothing better come."""
    best = transcript.best
    if not isinstance(bench, Industrious) or best is None or best.sealed is not None:
        return nullcontext()
    assert best.candidate is not None  # noqa: S101 - only a candidate can have passed
    return bench.meanwhile(best.candidate)


def _ask(transcript: Transcript, turn: int, author: Author, watch: Watch) -> None:
    """Buy the replies this turn still lacks; each is on disk before anything is done with it."""
    prompt = transcript.prompt_of(turn)
    missing = transcript.samples_of(turn) - len(transcript.attempts_of(turn))
    if prompt is None or missing <= 0:
        return
    watch.phase("model")
    first = transcript.next_attempt
    numbers = range(first, first + missing)
    with _AwaitedWatch(watch) as held:
        replies = _in_parallel(
            lambda number: author.ask(prompt, attempt=number, watch=held), numbers
        )
        for number, reply in replies:
            transcript.record(Replied(at=time.time(), turn=turn, attempt=number, reply=reply))


def _evaluate(transcript: Transcript, turn: int, bench: Bench, watch: Watch) -> None:
    """Judge, profile and seal what the turn brought, less what the machine keeps failing on."""
    while True:
        try:
            _judge_all(transcript, turn, bench, watch)
            _profile_best(transcript, turn, bench, watch)
            seal_if_target(transcript, bench, watch)
        except BenchFault as fault:
            _failed(transcript, turn, fault)
        else:
            return


def _failed(transcript: Transcript, turn: int, fault: BenchFault) -> None:
    """Write a fault down and stop, unless its attempt is given up with it: then go on without."""
    number = fault.attempt
    tried = number is not None and not transcript.is_given_up(number)
    transcript.record(Failed(at=time.time(), turn=turn, attempt=number, fault=str(fault)))
    if number is None or not tried:
        raise fault
    if transcript.is_given_up(number):
        return
    raise BenchFault(
        f"{fault} (attempt {number} was at work: if it meets this once more, it is left as it is "
        f"and the run goes on; `hint RUN --veto {number} WHY` leaves it out at once)"
    ) from fault


@contextmanager
def _at_work(attempt: int) -> Iterator[None]:
    """Let a fault of the machine that comes up in the block name the attempt at work."""
    try:
        yield
    except BenchFault as fault:
        fault.attempt = attempt
        raise


def _judge_all(transcript: Transcript, turn: int, bench: Bench, watch: Watch) -> None:
    """Read, build side by side, judge one at a time: builds share cores, timing shares nothing."""
    waiting = [
        attempt.number
        for attempt in transcript.attempts_of(turn)
        if attempt.verdict is None
        and attempt.veto is None
        and not transcript.is_given_up(attempt.number)
    ]
    readable: dict[int, Candidate] = {}
    for number in waiting:
        match transcript.read_candidate(number, extract):
            case Candidate() as candidate:
                readable[number] = candidate
            case Unreadable() as why:
                _judged(transcript, turn, number, why, None)
    if not readable:
        return
    watch.phase("build")
    with _AwaitedWatch(watch) as held:

        def build(number: int) -> AnyVerdict | None:
            with _at_work(number):
                return bench.build(readable[number], held)

        built = dict(_in_parallel(build, readable))
    for number, candidate in readable.items():
        with _at_work(number):
            verdict = built[number] or bench.judge(candidate, watch)
        _judged(transcript, turn, number, verdict, candidate)


def _judged(
    transcript: Transcript,
    turn: int,
    attempt: int,
    verdict: AnyVerdict,
    candidate: Candidate | None,
) -> None:
    transcript.record(
        Judged(at=time.time(), turn=turn, attempt=attempt, verdict=verdict, candidate=candidate)
    )


def _profile_best(transcript: Transcript, turn: int, bench: Bench, watch: Watch) -> None:
    """Profile the turn's best kernel. Counters of a wrong one explain nothing."""
    passed = [a for a in transcript.attempts_of(turn) if a.passed is not None]
    best = ranking.fastest(passed)
    if best is None or best.candidate is None or best.page is not None or best.passed is None:
        return
    if transcript.is_given_up(best.number):
        return
    watch.phase("profile")
    began = time.monotonic()
    with _at_work(best.number):
        page = bench.profile(best.candidate, best.passed, watch)
    if page is not None:
        _profiled(transcript, best, page, seconds=time.monotonic() - began)


def _profiled(transcript: Transcript, attempt: Attempt, page: Page, *, seconds: float) -> None:
    """Record the page with what changed since the parent, and grade what its author foretold."""
    candidate = attempt.candidate
    assert candidate is not None  # noqa: S101 - only a candidate is profiled
    if page.candidate_digest != candidate.digest:
        raise BenchFault(
            f"the profile is of {page.candidate_digest}, not of {candidate.digest}; "
            "delete the run's profile folder and resume"
        )
    parent = transcript.attempt(candidate.parent) if candidate.parent is not None else None
    before = parent.page if parent is not None else None
    if before is not None:
        page = replace(page, changed=delta.changes(before, page))
    foretold = candidate.prediction
    grade = delta.grade(foretold, before, page) if foretold is not None else None
    transcript.record(
        Profiled(
            at=time.time(),
            turn=attempt.turn,
            attempt=attempt.number,
            page=page,
            grade=grade,
            seconds=seconds,
        )
    )


def seal_if_target(transcript: Transcript, bench: Bench, watch: Watch) -> None:
    """Seal the best kernel where it seems to meet the target: only a sealed one may stop a run."""
    target, best = transcript.options.budget.target, transcript.best
    if target is not None and best is not None and best.at_least >= target:
        seal_best(transcript, bench, watch)


def seal_best(transcript: Transcript, bench: Bench, watch: Watch) -> Attempt | None:
    """Seal the best kernel before anyone reports it; one that does not survive is best no more."""
    while (best := transcript.best) is not None and best.sealed is None:
        watch.phase("seal")
        assert best.candidate is not None  # noqa: S101 - only a candidate can have passed
        try:
            verdict = bench.seal(best.candidate, watch)
        except BenchFault as fault:
            raise BenchFault(
                f"{fault} (attempt {best.number} was being sealed; "
                f"`hint RUN --veto {best.number} WHY` leaves it out)"
            ) from fault
        transcript.record(Sealed(at=time.time(), attempt=best.number, verdict=verdict))
    return transcript.best


def _close(transcript: Transcript, turn: int, seconds: float) -> Turn:
    """Write the ledger. A turn that was cut short also took what its earlier half recorded."""
    replies = [a.reply for a in transcript.attempts_of(turn) if a.reply is not None]
    waited = max((reply.seconds for reply in replies), default=0.0)  # they came side by side
    phases = [Phase(name="model", seconds=waited)] if waited else []
    phases += transcript.phases_of(turn)
    known = sum(phase.seconds for phase in phases)
    ledger = (*phases, Phase(name="overhead", seconds=max(0.0, seconds - known)))
    transcript.record(
        TurnClosed(at=time.time(), turn=turn, ledger=ledger, seconds=max(seconds, known))
    )
    return transcript.turn(turn)


def _in_parallel(work: Callable[[int], R], numbers: Collection[int]) -> Iterator[tuple[int, R]]:
    """Do the same work for each number side by side; yield each result as soon as it is there.

    When one of them fails the others are waited for and yielded first: their replies are paid for.
    """
    if len(numbers) == 1:
        (number,) = numbers
        yield number, work(number)
        return
    failure: BaseException | None = None
    futures = {aside(partial(work, number)): number for number in numbers}
    ended: SimpleQueue[Future[R]] = SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)
    for future in (ended.get() for _ in futures):
        failure = future.exception() or failure
        if future.exception() is None:
            yield futures[future], future.result()
    if failure is not None:
        raise failure


def aside(work: Callable[[], R]) -> Future[R]:
    """Do work in a thread that nobody need wait for.

    Not a pool's: the interpreter waits for those at its end, and whoever interrupts a run does not
    wait for a model, or a compiler, that may take minutes.
    """
    future: Future[R] = Future()
    Thread(target=_fulfil, args=(future, work), daemon=True).start()
    return future


def _fulfil(future: Future[R], work: Callable[[], R]) -> None:
    try:
        future.set_result(work())
    except BaseException as why:  # noqa: BLE001 - whatever it is, the caller raises it
        future.set_exception(why)


class _LetGo(BaseException):
    """Nobody waits any more for what this thread does."""


class _AwaitedWatch:
    """A watch for work that goes on side by side, which ends where nobody waits for it any more.

    A reply that streams in is left at its next piece, so that no more of it is bought.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._cut = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cut.set()

    def phase(self, name: str) -> None:
        """Pass on which phase begins."""
        self._hold()
        self._watch.phase(name)

    def text(self, piece: str) -> None:
        """Pass on a piece of a reply."""
        self._hold()
        self._watch.text(piece)

    def _hold(self) -> None:
        if self._cut.is_set():
            raise _LetGo
