"""What the next prompt is about, worked out from the transcript and nothing else.

It owns which attempts, sources and numbers a prompt shows and what goes first when room is short;
the words around them are the templates'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from refine_agent.problem import policy_of
from refine_agent.profiling import delta, metrics, roofline
from refine_agent.profiling.records import Ceilings
from refine_agent.profiling.roofline import Floor  # noqa: TC001 - a record's field
from refine_agent.records import (
    Attempt,
    Budget,
    Judged,
    Moved,
    Passed,
    Problem,
    Setup,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.profiling.records import Page
    from refine_agent.records import AnyVerdict
    from refine_agent.transcript import Transcript

# The page's key for the time of one call, which can be predicted before anything was profiled.
TIME = "time_us"
NO_PEAKS = Ceilings(device="unknown")
# Floors are worked out anew for their words; another version's arithmetic may differ.
ROUNDING = 0.005
# A kernel that is neither the parent nor new teaches little more than its line in the table.
MOST_OTHERS = 3


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One metric the author may predict: what it means and where it stands now."""

    key: str
    meaning: str
    unit: str
    now: float | None


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of the budget when the prompt is written."""

    budget: Budget
    turn: int  # of those the model is asked for, this one included
    usd_spent: float
    minutes_spent: float
    turns_since_best: int


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How much of each thing is shown; the less, the shorter the prompt."""

    others: int = MOST_OTHERS
    log_chars: int = 6_000
    page_lines: int | None = None
    advice: bool = True


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a template may speak of."""

    problem: Problem
    setup: Setup
    device_kind: Literal["cpu", "cuda"]
    authored_only: bool
    attempts: tuple[Attempt, ...]
    latest: tuple[Attempt, ...]  # the attempts of the turn before this one
    best: Attempt | None
    best_is_of_here: bool  # not measured on another device, before the run moved
    policy: str  # what float32 may be computed in
    floor: Floor | None  # why the floor is where it is
    bound: Floor | None
    parent: Attempt | None
    starts_over: bool  # from the reference, although nothing is left to repair
    others: tuple[Attempt, ...]  # further kernels shown whole, most telling first
    beaten: Timing  # the faster baseline
    page: Page | None  # the parent's profile
    asks: tuple[Ask, ...]
    hints: tuple[str, ...]
    left: Left
    room: Room = Room()


class NotMeasuredError(Exception):
    """A prompt needs what the bench found out about machine and problem; measure first."""


def look(transcript: Transcript) -> Scene:
    """Return what the next prompt is about."""
    setup = transcript.setup
    if setup is None:
        raise NotMeasuredError(
            f"the run in {transcript.folder} holds no measurement of its problem and machine, "
            "which the prompt is written around; let the bench measure before rendering"
        )
    parent, attempts = transcript.parent, transcript.attempts
    latest = transcript.attempts_of(attempts[-1].turn) if attempts else ()
    page = own_page(parent)
    beaten = faster(setup.baseline.eager, setup.baseline.compiled)
    best = transcript.best
    floors = roofline.floors(setup.work, setup.peaks or NO_PEAKS)
    return Scene(
        problem=transcript.problem,
        setup=setup,
        device_kind=setup.environment.device_kind,
        authored_only=transcript.options.authored_only,
        attempts=attempts,
        latest=latest,
        best=best,
        best_is_of_here=best is None
        or transcript.device_of(best.number) == setup.environment.device,
        policy=policy_of(transcript.problem, setup.environment.device_kind),
        floor=_explained(setup.floor_us, floors.ceiling),
        bound=_explained(setup.bound_us, floors.bound),
        parent=parent,
        starts_over=parent is None and bool(latest) and not _is_to_be_repaired(transcript, latest),
        others=tuple(_others(attempts, latest, parent)),
        beaten=beaten,
        page=page,
        asks=tuple(_asks(page, parent, beaten)),
        hints=tuple(hint.text for hint in transcript.hints),
        left=_left(transcript),
    )


def _is_to_be_repaired(transcript: Transcript, latest: tuple[Attempt, ...]) -> bool:
    """Whether a kernel of the last turn failed, and nobody has gone back to the reference since."""
    since = max(attempt.number for attempt in latest)
    for event in reversed(transcript.events):
        if isinstance(event, Moved):
            return False
        if isinstance(event, Judged) and event.attempt == since:
            break
    verdicts = [judged(attempt) for attempt in latest]
    return any(found is not None and not isinstance(found, Passed) for found in verdicts)


def _explained(recorded_us: float | None, floor: Floor | None) -> Floor | None:
    """Return what sets a floor, if it is the one that was recorded with the machine."""
    if recorded_us is None or floor is None:
        return None
    return floor if abs(floor.us - recorded_us) <= ROUNDING * recorded_us else None


def own_page(attempt: Attempt | None) -> Page | None:
    """Return the attempt's profile if it provably is of this attempt's source, else ``None``."""
    if attempt is None or attempt.page is None or attempt.candidate is None:
        return None
    return attempt.page if attempt.page.candidate_digest == attempt.candidate.digest else None


def judged(attempt: Attempt) -> AnyVerdict | None:
    """Return the verdict that counts: the sealed one where there is one."""
    return attempt.sealed if attempt.sealed is not None else attempt.verdict


def faster(eager: Timing, compiled: Timing | None) -> Timing:
    """Return the baseline that a speedup is counted against."""
    return eager if compiled is None or eager.median_us <= compiled.median_us else compiled


def rooms(scene: Scene) -> Iterator[Room]:
    """Yield ever smaller rooms: bodies of old kernels go first, verdict lines never."""
    for others in range(len(scene.others), -1, -1):
        yield Room(others=others)
    yield Room(others=0, log_chars=2_000)
    yield Room(others=0, log_chars=1_000, page_lines=12)
    yield Room(others=0, log_chars=1_000, page_lines=12, advice=False)


def _others(
    attempts: tuple[Attempt, ...], latest: tuple[Attempt, ...], parent: Attempt | None
) -> Iterator[Attempt]:
    """Yield kernels besides the parent: what was just tried, then the fastest of another kind."""
    shown = (
        {parent.candidate.digest} if parent is not None and parent.candidate is not None else set()
    )
    passed = sorted(
        (a for a in attempts if a.passed is not None), key=lambda a: a.at_least, reverse=True
    )
    fresh = sorted(latest, key=lambda a: a.at_least, reverse=True)
    for attempt in [*fresh[: MOST_OTHERS - 1], *passed[:2]]:
        if attempt.candidate is None or attempt.candidate.digest in shown:
            continue
        shown.add(attempt.candidate.digest)
        yield attempt


def _asks(page: Page | None, parent: Attempt | None, beaten: Timing) -> Iterator[Ask]:
    """Yield what may be predicted: time always, and what the parent's page measured."""
    passed = parent.passed if parent is not None else None
    timed = passed.timing if isinstance(passed, Passed) else beaten
    keys = delta.predictable(page) if page is not None else ()
    for key in (TIME, *(key for key in keys if key != TIME)):
        row = metrics.BY_KEY[key]
        measured = page.value(key) if page is not None else None
        now = timed.median_us if measured is None and key == TIME else measured
        yield Ask(key=key, meaning=row.meaning, unit=row.unit, now=now)


def _left(transcript: Transcript) -> Left:
    budget = transcript.options.budget
    if transcript.unpriced:
        # Of a sum that nobody knows nothing can be said, least of all that it is all still there.
        budget = replace(budget, usd=None)
    return Left(
        budget=budget,
        turn=transcript.model_turns + 1,
        usd_spent=transcript.cost_usd,
        minutes_spent=transcript.seconds / 60,
        turns_since_best=transcript.turns_since_best,
    )
