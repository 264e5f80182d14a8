"""What leaves a run: the winning module as a file of its own, and turns as training examples.

It reads a transcript and returns text; where the text goes is the command's business.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from refine_agent.legible import legible, phrase
from refine_agent.problem import policy_of
from refine_agent.records import Message, Passed, Record, headline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refine_agent.records import Attempt, Environment, Ratio, Timing, Turn
    from refine_agent.transcript import Transcript

# Kevin (arXiv:2507.11948), section 3: a turn is worth what it leads to, discounted by 0.4 a turn,
# and a right kernel 0.3 plus its speedup.
DISCOUNT = 0.4
CORRECT = 0.3


class ExportError(Exception):
    """There is nothing to export; the message says why."""


class Reward(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What a reply was worth.

    ``score`` is 0.3 for a right kernel plus its speedup over ``against``; ``discounted`` adds the
    best of each later turn, each turn further away counting 0.4 times as much.
    """

    correct: bool
    speedup: float | None
    against: str
    score: float
    discounted: float


class Example(Record, frozen=True, kw_only=True, omit_defaults=False):
    """One reply as a chat that ends with it, and what it was worth."""

    run: str
    problem: str
    turn: int
    attempt: int
    model: str
    messages: tuple[Message, ...]
    verdict: str
    reward: Reward


# --- the winner ----------------------------------------------------------------------------------


def winner(transcript: Transcript) -> str:
    """Return the best kernel's module with its evidence on top; it imports nothing of ours."""
    best = transcript.best
    if best is None or best.passed is None:
        raise ExportError(
            f"no kernel passed in {transcript.folder.name}, so there is none to export"
        )
    _require_texts(transcript, best)
    if best.candidate is None:
        raise ExportError(f"attempt {best.number} passed, and its kernel was not written down")
    evidence = "\n".join(f"# {line}".rstrip() for line in _evidence(transcript, best, best.passed))
    # A __future__ import must stay the module's first statement; comments may precede it.
    return f"{evidence}\n\n{best.candidate.source.rstrip()}\n"


def _require_texts(transcript: Transcript, best: Attempt) -> None:
    """Refuse where the kernel, or the problem it is for, is not there to be read."""
    texts = {best.number: f"the kernel of attempt {best.number}", None: "the problem"}
    for attempt, what in texts.items():
        why = transcript.why_source_is_lost(attempt)
        if why is not None:
            raise _not_readable(what, why, transcript)


def _not_readable(what: str, why: str, transcript: Transcript) -> ExportError:
    return ExportError(
        f"{what} is not readable: {why}; copy the blobs folder of {transcript.folder.name} again "
        "from where the run came from"
    )


def _evidence(transcript: Transcript, best: Attempt, passed: Passed) -> Iterator[str]:
    started = transcript.started
    day = time.strftime("%Y-%m-%d", time.gmtime(started.at))
    idea = best.candidate.idea if best.candidate is not None else None
    yield f"{phrase(started.problem.name)}: ModelNew in place of Model, found {day}"
    if idea:
        yield f"idea: {phrase(idea, chars=300)}"
    digest = best.candidate.digest if best.candidate is not None else "unknown"
    yield (
        f"source {digest}, run {started.run}, attempt {best.number} of {len(transcript.attempts)}, "
        f"by the {best.author} ({phrase(transcript.model)})"
    )
    setup = transcript.setup_of(best.number)
    if setup is not None:
        machine = setup.environment
        yield from _machine(machine)
        yield f"precision, both sides: {policy_of(transcript.problem, machine.device_kind)}"
    yield f"time           {_timing(passed.timing)}"
    yield f"eager          {_timing(passed.eager)}; {_ratio(passed.vs_eager)}"
    if passed.compiled is not None and passed.vs_compiled is not None:
        yield f"torch.compile  {_timing(passed.compiled)}; {_ratio(passed.vs_compiled)}"
    checks = passed.checks
    yield (
        f"right on {checks.cases} input distributions in {checks.extent}; worst error "
        f"{checks.worst_error:.2e} of {checks.allowed_error:.2e} allowed, "
        f"in {phrase(checks.worst_case)}"
    )
    yield _sealing(best)
    for doubt in passed.suspicions:
        yield f"doubtful: {phrase(doubt.kind)}: {phrase(doubt.evidence, chars=400)}"


def _machine(environment: Environment) -> Iterator[str]:
    yield f"device {phrase(environment.device)}, driver {environment.driver or 'none'}"
    yield f"torch {environment.torch or '?'}, compiler {phrase(environment.compiler or '?')}"


def _timing(timing: Timing) -> str:
    return (
        f"{timing.median_us:,.1f} µs per call, median of {timing.samples} "
        f"[95 %: {timing.low_us:,.1f} to {timing.high_us:,.1f}]"
    )


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.value:.2f} times faster [{ratio.low:.2f} to {ratio.high:.2f}]"


def _sealing(best: Attempt) -> str:
    if isinstance(best.sealed, Passed):
        return "sealed: rebuilt with torch's own headers, judged afresh under a fresh seed"
    return "not sealed: the numbers are those of its turn"


# --- training examples ---------------------------------------------------------------------------


def examples(transcript: Transcript) -> Iterator[Example]:
    """Yield every model reply that was judged, with its prompt and its reward."""
    turns = [turn for turn in transcript.turns if turn.prompt is not None]
    scores = [max((_score(a) for a in turn.attempts), default=0.0) for turn in turns]
    for index, turn in enumerate(turns):
        later = discounted(scores[index + 1 :])
        for attempt in turn.attempts:
            if attempt.reply is not None and attempt.verdict is not None:
                yield _example(transcript, turn, attempt, later=later)


def discounted(scores: Sequence[float]) -> float:
    """Return what the turns after one add to it: 0.4 of the next, 0.16 of the one after it."""
    return sum(score * DISCOUNT**distance for distance, score in enumerate(scores, 1))


def _example(transcript: Transcript, turn: Turn, attempt: Attempt, *, later: float) -> Example:
    assert turn.prompt is not None  # noqa: S101 - the caller chose such turns
    assert attempt.reply is not None  # noqa: S101
    assert attempt.verdict is not None  # noqa: S101
    for text in (*(message.content for message in turn.prompt.messages), attempt.reply.text):
        why = transcript.why_lost(text)
        if why is not None:
            raise _not_readable(f"turn {turn.number}", why, transcript)
    right, score = _outcome(attempt), _score(attempt)
    return Example(
        run=transcript.started.run,
        problem=transcript.problem.name,
        turn=turn.number,
        attempt=attempt.number,
        model=attempt.reply.model,
        messages=(*turn.prompt.messages, Message(role="assistant", content=attempt.reply.text)),
        verdict=legible(headline(attempt.verdict)),
        reward=Reward(
            correct=right is not None,
            speedup=right.speedup.value if right is not None else None,
            against="the faster of eager and torch.compile",
            score=score,
            discounted=score + later,
        ),
    )


def _outcome(attempt: Attempt) -> Passed | None:
    """A veto says what the engineer wants, not what the kernel was worth."""
    final = attempt.sealed if attempt.sealed is not None else attempt.verdict
    return final if isinstance(final, Passed) else None


def _score(attempt: Attempt) -> float:
    right = _outcome(attempt)
    return CORRECT + right.speedup.value if right is not None else 0.0
