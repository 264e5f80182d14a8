"""The examination of one candidate: fresh inputs, every output verified, the judge's own clock.

It owns what a candidate is asked, in which order, and what ends its trial at once; what the samples
amount to is weighed in ``weighing``, and the problem with its witnesses is the ``House``'s.
"""

from __future__ import annotations

import itertools
import random
import secrets
import time
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from refine_agent import wire
from refine_agent.judge import cases, lax, statistics, tolerance
from refine_agent.judge.lead import unhurried
from refine_agent.judge.seats import Ended
from refine_agent.records import Checks, Disqualified, Mismatch, Suspicion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from refine_agent.judge.cases import Case
    from refine_agent.judge.layers import Layers
    from refine_agent.judge.lead import Lead
    from refine_agent.judge.seats import Block, Seat
    from refine_agent.judge.tolerance import Finding, Limits
    from refine_agent.judge.trial import House

# At least so many nominal questions are asked together, and so is whether results last.
NOMINALS = 2
# In a timed block one call in four is on inputs of another kind, and one in six on the inputs that
# lie in its slot already, with one element changed: no call can be told from another.
STRESSED, CHANGED = 0.25, 1 / 6
# Rounds of single calls, to see whether calls cost less together than alone.
ROUNDS_ALONE = 8
POISON = 0xFF  # of every byte: NaN in any floating-point format
# The judge's own fill of twice the L2 takes this many times its usual at most, plus microseconds
# for the driver to switch contexts, when nobody else is on the device.
BUSY_FACTOR, BUSY_SLACK_US = 4.0, 400.0
# A process that waits for the next call uses nothing; this part of a core in this time is work.
QUIET_S, BUSY_PART = 0.01, 0.3


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long a device is sampled for."""

    blocks: int
    most_blocks: int
    seconds: float
    within: float  # stop when the half-width of every role's interval is this part of its median
    # Or when that of every speedup is this part of it, or this part of its distance from 1: on a
    # machine that others share a role never comes to rest, and all that is to be known is who wins.
    speedup_within: float | None = None
    apart: float = 1 / 3


# Two cores that others share need 6 s to tell a draw within 0.05: a module against itself was found
# within it in 20 of 24 runs after 2.5 s, in 98 of 100 after 6. A clear win or loss ends sooner.
PACES = {
    "cuda": Pace(blocks=6, most_blocks=24, seconds=0.9, within=0.004),
    "cpu": Pace(blocks=5, most_blocks=400, seconds=6.0, within=0.015, speedup_within=0.02),
}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One call's inputs, and the reference's own answer to them."""

    case: Case
    tensors: list[Any]  # of torch.Tensor, which msgspec does not know
    expected: list[Any]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """The exact answer to a question, and how near a candidate must come."""

    exact: list[Any]
    limits: list[Any]


class Samples:
    """Blocks of one role: the judge's wall per block and the claims per call."""

    def __init__(self) -> None:
        self.walls_us: list[float] = []
        self.settlings_us: list[float] = []
        self.deliveries_us: list[float] = []
        self.claims_us: list[tuple[float, ...]] = []
        self.counted_us: list[tuple[float, ...]] = []
        self.hidden: list[bool] = []  # block by block, whether every launch was
        self.beyond_us: list[float] = []  # the device was at work, beyond the claims of a block
        self.delivering_us: list[float] = []  # it was at work while results were delivered

    def add(self, block: Block, *, trusted: bool) -> None:
        """Take down one block; what a trusted worker was late to launch is not what it takes."""
        self.walls_us.append(block.wall_us)
        self.settlings_us.append(block.settling_us)
        self.deliveries_us.append(block.delivery_us)
        self.claims_us.append(block.claims_us)
        self.counted_us.append(_unhurried(block) if trusted else block.claims_us)
        self.hidden.append(all(block.hidden))
        if block.busy_us is not None and block.delivery_busy_us is not None:
            self.beyond_us.append(block.busy_us - sum(block.claims_us))
            self.delivering_us.append(block.delivery_busy_us)

    @property
    def flat_us(self) -> list[float]:
        """Every claim that counts, block after block."""
        return [claim for block in self.counted_us for claim in block]


def _unhurried(block: Block) -> tuple[float, ...]:
    """Return the claims of calls whose launch was hidden; of none, the least delayed."""
    hidden = itertools.compress(block.claims_us, block.hidden)
    return tuple(hidden) or (min(block.claims_us),)


class Examiner:
    """Asks a candidate (or, without one, only the witnesses)."""

    def __init__(self, house: House, seat: Seat | None, layers: Layers) -> None:
        self._house = house
        self._reference = house.reference
        self._seat = seat
        self._layers = layers
        self._asked_before: dict[int, Question] = {}  # what a slot was asked in its last call
        self._only_question: Question | None = None
        self._worst = NO_FINDING
        self._compared = False  # with an exact answer, and not only quickly with the reference's
        self._quickly = 0  # how many were only so
        self._cadence = house.cadence
        self._held = 0  # nominal questions that were asked together

    def warm_up(self) -> None:
        """Find how many calls of the candidate fit into a block on a GPU.

        What it answers here counts for nothing, so nobody looks at it.
        """
        if self._cadence.lead is None:
            return
        seat = self._candidate()
        self._warm_up_block(seat, 1)  # Triton and torch.compile compile in a first call
        self._cadence = unhurried(
            self._cadence, lambda cadence: self._warm_up_block(seat, cadence.calls, cadence.lead)
        )

    def _warm_up_block(self, seat: Seat, calls: int, lead: Lead | None = None) -> Block:
        slots = tuple(self._draw_slots(calls))
        self._prepare(seat, slots, [self._question(cases.NOMINAL) for _ in slots])
        return seat.call(slots, during="check", lead=lead)

    # --- correctness ----------------------------------------------------------------------------

    def check(self, *, every: bool, exactly: bool) -> Checks:
        """Check outputs under fresh inputs of several kinds, in an order nobody can foresee.

        Nominal ones are among them, unless ``held`` has asked them. Of those that need not be
        compared exactly only one is, and what is not seen to be right at a quick look.
        """
        plan = self._plan(every=every)
        size = self._cadence.calls
        for first in range(0, len(plan), size):
            planned = plan[first : first + size]
            filler = [cases.NOMINAL] * (size - len(planned))
            self._check_block(
                [self._question(case) for case in (*planned, *filler)], exactly=exactly
            )
        return Checks(
            cases=len({cases.NOMINAL.name, *(case.name for case in plan)}),
            calls=-(-len(plan) // size) * size + self._held,
            quickly=self._quickly,
            worst_case=self._worst.case,
            worst_error=self._worst.error,
            allowed_error=self._worst.allowed,
        )

    def _plan(self, *, every: bool) -> list[Case]:
        stresses = self._house.ahead.stresses() if self._layers.cases else []
        if not every:
            stresses = stresses[: self._house.most_stresses]
        nominal = [] if self._held else [cases.NOMINAL] * NOMINALS
        plan = [*nominal, *stresses]
        if self._layers.cases and self._house.tells_no_half:
            plan += self._house.parts_apart()
        if self._layers.integers and self._house.exact_in_integers:
            plan.append(cases.INTEGERS)
        random.SystemRandom().shuffle(plan)
        return plan

    def _question(self, case: Case) -> Question:
        if self._layers.fresh:
            return self._house.question(case)
        self._only_question = self._only_question or self._house.question(cases.NOMINAL)
        return self._only_question

    def _check_block(self, questions: list[Question], *, exactly: bool) -> None:
        """Ask questions together, as they are asked when time is taken; verify every answer."""
        seat = self._candidate()
        slots = tuple(self._draw_slots(len(questions)))
        block = self._ask(seat, slots, questions, during="check", lead=self._cadence.lead)
        self._must_be_right(self._first_mismatch(seat, slots, questions, block, exactly=exactly))

    def held(self, *, exactly: bool) -> list[Suspicion]:
        """See whether results survive the calls of a block, as a caller who keeps them needs.

        Where they do not, every one is copied from now on, within the time of its call. These are
        the nominal questions of the check: their answers are verified as exactly.
        """
        seat = self._candidate()
        seat.copies_results = not self._layers.held
        if not self._layers.held:
            return []
        self._held = max(NOMINALS, self._cadence.calls)
        slots = tuple(self._draw_slots(self._held))
        questions = [self._question(cases.NOMINAL) for _ in slots]
        block = self._ask(seat, slots, questions, during="check", lead=self._cadence.lead)
        if self._first_mismatch(seat, slots, questions, block, exactly=exactly) is None:
            return []
        seat.copies_results = True
        block = self._ask(seat, slots, questions, during="check", lead=self._cadence.lead)
        self._must_be_right(self._first_mismatch(seat, slots, questions, block, exactly=exactly))
        return [
            Suspicion(
                kind="reused output",
                evidence="a result is overwritten by the next call: whoever keeps one and calls "
                "again holds the wrong values; it was timed with a copy of each",
            )
        ]

    def quiet(self) -> list[Suspicion]:
        """See whether the candidate works while nothing is asked of it."""
        if not self._layers.idle:
            return []
        part = min(self._candidate().busy_part(QUIET_S) for _ in range(2))
        if part < BUSY_PART:
            return []
        return [
            Suspicion(
                kind="works between calls",
                evidence=f"its processes used {part:.0%} of a core during "
                f"{QUIET_S * 1e3:.0f} ms in which nothing was asked of them",
            )
        ]

    # --- timing ---------------------------------------------------------------------------------

    def sample(self, pace: Pace) -> dict[str, Samples]:
        """Take interleaved blocks until all intervals are narrow; verify every timed output."""
        seats = self._seats()
        found = {role: Samples() for role in seats}
        began = time.monotonic()
        for number in range(pace.most_blocks):
            self._timed_block(seats, found, self._cadence.calls, lead=self._cadence.lead)
            enough = number + 1 >= pace.blocks
            took = time.monotonic() - began
            late = took + took / (number + 1) > pace.seconds  # by the end of one block more
            if enough and (late or _narrow(found, pace.within) or _known(found, pace)):
                break
        return found

    def sample_more(self, found: dict[str, Samples]) -> None:
        """Take one block more, where the blocks taken do not settle what they should."""
        self._timed_block(self._seats(), found, self._cadence.calls, lead=self._cadence.lead)

    def alone(self, *, led: bool = False) -> dict[str, Samples]:
        """Take single calls: the next call's inputs do not exist before the answer to this one.

        What they take includes their launch, unless a lead hides it.
        """
        seats = self._seats()
        found = {role: Samples() for role in seats}
        if self._cadence.calls == 1 or not self._layers.alone:
            return {}
        for _ in range(ROUNDS_ALONE):
            self._timed_block(seats, found, 1, lead=self._cadence.lead if led else None)
        return found

    def _timed_block(
        self, seats: dict[str, Seat], found: dict[str, Samples], calls: int, *, lead: Lead | None
    ) -> None:
        # Interleaved, because clocks drift: timing all of A and then all of B measures the weather.
        slots = tuple(self._draw_slots(calls))
        questions = [self._timed_question(slot) for slot in slots]
        order = list(seats)
        random.SystemRandom().shuffle(order)
        for role in order:
            seat = seats[role]
            block = self._ask(seat, slots, questions, during="timing", lead=lead)
            found[role].add(block, trusted=role != "candidate")
            if role == "candidate" and self._layers.every:
                self._must_be_right(
                    self._first_mismatch(seat, slots, questions, block, exactly=False)
                )

    def _timed_question(self, slot: int) -> Question:
        """Draw a question like those of the check: mostly nominal, some of another kind."""
        chance = random.SystemRandom().random()
        if not self._layers.fresh:
            return self._question(cases.NOMINAL)
        if chance < CHANGED and self._layers.nearly and slot in self._asked_before:
            return self._house.changed(self._asked_before[slot])
        if chance > 1 - STRESSED and self._layers.cases and self._house.stresses:
            return self._question(random.SystemRandom().choice(self._house.stresses))
        return self._question(cases.NOMINAL)

    def _seats(self) -> dict[str, Seat]:
        guest = {"candidate": self._seat} if self._seat is not None else {}
        return {**self._house.witnesses, **guest}

    def _candidate(self) -> Seat:
        assert self._seat is not None  # noqa: S101 - only a baseline is sampled without one
        return self._seat

    # --- handing over and taking back -----------------------------------------------------------

    def _draw_slots(self, count: int) -> list[int]:
        return random.SystemRandom().sample(range(self._house.slots), count)

    def _ask(
        self,
        seat: Seat,
        slots: tuple[int, ...],
        questions: list[Question],
        *,
        during: str,
        lead: Lead | None,
    ) -> Block:
        """Have questions answered, and the answers delivered when nothing can be computed any more.

        Handing over is no part of a call, so its time is not to be in the clock's; and what is done
        in that time must not matter. The worker is stopped between the two.
        """
        self._prepare(seat, slots, questions)
        looks = self._cadence.looks and lead is not None
        block = seat.call(slots, during=during, lead=lead, looks=looks)
        copies: list[_Copy] = []
        # Of witnesses too: what the judge reads meanwhile leaves results in caches, or does not;
        # of so many bytes none stay there.
        if seat is self._seat or not self._house.many_bytes:
            broken = [self._broken(seat, *asked) for asked in zip(slots, questions, strict=True)]
            if seat is self._seat:
                self._must_be_whole(broken)
            for number, slot in enumerate(slots):
                lent = block.lent[number] if block.lent else ()
                copies += self._take_inputs_away(seat, slot, lent)
        self._house.settle()
        delivered = seat.deliver(slots, block, during=during, lead=self._cadence.lead, looks=looks)
        if self._layers.delivery and not all(copy.is_whole for copy in copies):
            raise Ended(
                Disqualified(
                    rule="an input is no result to work on",
                    evidence="a result was said to be an input as it lies, which the judge copies, "
                    "and was written to after the call",
                )
            )
        return delivered

    def _take_inputs_away(self, seat: Seat, slot: int, lent: tuple[int, ...]) -> list[_Copy]:
        """Destroy what was asked and what was written early; copy results that are an input."""
        copies = []
        given, outputs = seat.inputs(slot), seat.outputs(slot)
        if self._layers.delivery:
            self._poison(seat, slot, POISON if self._layers.poison else 0)
        for number, target in zip(lent, outputs, strict=False):
            if number != wire.NOT_LENT:
                target.copy_(given[number])
                copies.append(_Copy(target=target, wanted=given[number].clone()))
        if self._layers.delivery:
            for tensor in given:
                _fill(tensor, POISON)
        return copies

    def _prepare(self, seat: Seat, slots: Sequence[int], questions: list[Question]) -> None:
        """Put the questions before a worker that is stopped, on a device that is idle and cold."""
        if seat is self._seat:
            self._must_be_idle()
            if not self._reference.mutable:
                self._asked_before.update(zip(slots, questions, strict=True))
        elif moved := seat.moved_threads():
            raise Ended(
                Disqualified(
                    rule="hands off other processes",
                    evidence=f"{moved} threads of the {seat.role} baseline are scheduled in "
                    "another way than they were",
                )
            )
        for slot, question in zip(slots, questions, strict=True):
            # Many bytes take longer to write than to compute with: a witness is trusted to write
            # its results, and what computes nothing reads nothing. Inputs come last, for everybody.
            if seat is self._seat or not self._house.many_bytes:
                self._poison(seat, slot, POISON if self._layers.poison else 0)
            elif seat.role == "null":
                continue
            for target, tensor in zip(seat.inputs(slot), question.tensors, strict=True):
                target.copy_(tensor)
        self._house.settle()
        self._house.cool()

    def _poison(self, seat: Seat, slot: int, byte: int) -> None:
        """Fill outputs and guard bands with NaN patterns.

        What is not written does not pass by luck, nor what is read past the end of an input.
        """
        for target in seat.outputs(slot):
            _fill(target, byte)
        for guard in seat.guards(slot):
            guard.fill_(byte)

    def _must_be_idle(self) -> None:
        """A device that is busy while its candidate is stopped works on something else."""
        if self._house.kind == "cpu" or not self._layers.idle:
            return
        for _ in range(3):
            usual, now = self._house.usual_cooling_us, self._house.cool()
            if now <= BUSY_FACTOR * usual + BUSY_SLACK_US:
                return
        raise Ended(
            Disqualified(
                rule="work goes on after the answer",
                evidence=f"with the candidate stopped, the judge's own fill took {now:,.0f} µs "
                f"three times over, on the idle device {usual:,.0f} µs",
            )
        )

    # --- verifying ------------------------------------------------------------------------------

    def _first_mismatch(
        self,
        seat: Seat,
        slots: tuple[int, ...],
        questions: list[Question],
        block: Block,
        *,
        exactly: bool,
    ) -> Mismatch | None:
        """Return the first wrong answer; whatever else is wrong with them ends the trial."""
        for slot, question in zip(slots, questions, strict=True):
            self._must_be_whole([self._guards_broken(seat, slot)])
            finding = self._right(seat, slot, question, exactly=exactly)
            if finding is not None:
                return self._mismatch(question.case, finding)
        if block.prints != seat.prints(slots):
            raise Ended(
                Disqualified(
                    rule="outputs changed after the answer",
                    evidence="what lay in the outputs when the candidate answered is not what lay "
                    "there when they had been compared",
                )
            )
        seat.must_have_been_there(block)
        return None

    def _right(self, seat: Seat, slot: int, question: Question, *, exactly: bool) -> _Wrong | None:
        """Return what is wrong with an answer; a quick look first, where that will do."""
        got = seat.outputs(slot)
        quickly = self._compared and not exactly and question.case is not cases.INTEGERS
        if quickly and self._are_near(got, question):
            self._quickly += 1
            return None
        key = self._house.key(question)
        if key is None:
            return None  # the reference itself is lost on these inputs
        findings = self._findings(got, key)
        if any(finding.reason is not None for finding in findings):
            key = self._house.nearer_key(question, key)
            findings = self._findings(got, key)
        for number, (g, finding) in enumerate(zip(got, findings, strict=True)):
            if finding.reason is not None and not self._house.may_stand(question, number, g, key):
                return _Wrong(output=number, finding=finding)
            self._worst = self._worst.worse(question.case, finding)
        self._compared = True
        return None

    def _are_near(self, got: Sequence[torch.Tensor], question: Question) -> bool:
        given = self._reference.tolerance
        pairs = zip(got, question.expected, strict=True)
        return all(tolerance.near(each, native, given=given) for each, native in pairs)

    def _findings(self, got: Sequence[torch.Tensor], key: Key) -> list[Finding]:
        return [
            lax.compare(g, e, limit, self._layers)
            for g, e, limit in zip(got, key.exact, key.limits, strict=True)
        ]

    def _mismatch(self, case: Case, wrong: _Wrong) -> Mismatch:
        which = f"output {wrong.output}: " if len(self._house.layout.outputs) > 1 else ""
        finding: Finding = wrong.finding
        return Mismatch(
            case=case.name,
            reason=f"{which}{finding.reason} ({case.name} inputs)",
            error=finding.error,
            allowed=finding.allowed,
            where=finding.where,
            map=finding.map,
        )

    def _must_be_right(self, wrong: Mismatch | None) -> None:
        if wrong is not None:
            raise Ended(wrong)

    def _must_be_whole(self, broken: list[Disqualified | None]) -> None:
        for verdict in broken:
            if verdict is not None:
                raise Ended(verdict)

    def _broken(self, seat: Seat, slot: int, question: Question) -> Disqualified | None:
        """Say what a call changed that it may not."""
        return self._guards_broken(seat, slot) or self._inputs_broken(seat, slot, question)

    def _guards_broken(self, seat: Seat, slot: int) -> Disqualified | None:
        if not (self._layers.intact and self._layers.poison):
            return None
        if bool(torch.cat(seat.guards(slot)).eq(POISON).all()):
            return None
        return Disqualified(
            rule="writes past the end",
            evidence="bytes beside the inputs and outputs were changed by the call",
        )

    def _inputs_broken(self, seat: Seat, slot: int, question: Question) -> Disqualified | None:
        if not self._layers.intact:
            return None
        for number, (left, given) in enumerate(
            zip(seat.inputs(slot), question.tensors, strict=True)
        ):
            if number not in self._reference.mutable and not tolerance.same_bytes(left, given):
                return Disqualified(
                    rule="inputs are read-only",
                    evidence=f"input {number} was changed by the call, and the problem does "
                    "not declare it in MUTABLE_INPUTS: write to a copy",
                )
        return None


class _Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A result that is an input, as the judge copied it."""

    target: Any  # a torch.Tensor
    wanted: Any  # likewise

    @property
    def is_whole(self) -> bool:
        """Whether nobody has written to it since."""
        return tolerance.same_bytes(self.target, self.wanted)


class _Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """Which output is wrong, and how."""

    output: int
    finding: Any  # a tolerance.Finding


class _Worst(msgspec.Struct, frozen=True, kw_only=True):
    """The answer that came nearest to its limit."""

    case: str
    error: float
    allowed: float

    def worse(self, case: Case, finding: Finding) -> _Worst:
        """Return whichever of this and a finding is nearer to its limit."""
        if not finding.allowed:
            return self
        if self.allowed and finding.error / finding.allowed <= self.error / self.allowed:
            return self
        return _Worst(case=case.name, error=finding.error, allowed=finding.allowed)


NO_FINDING = _Worst(case="nominal", error=0.0, allowed=0.0)


def _narrow(found: dict[str, Samples], within: float) -> bool:
    """Whether both sides of every ratio are known well enough.

    By block, because the calls of one share whatever else the machine does at that time.
    """
    return all(
        statistics.narrow_enough(
            [statistics.median(block) for block in samples.counted_us], within=within
        )
        for role, samples in found.items()
        if role != "null"
    )


def _known(found: dict[str, Samples], pace: Pace) -> bool:
    """Whether every speedup of the candidate's is known well enough for what it is."""
    mine = found.get("candidate")
    if mine is None or pace.speedup_within is None:
        return False
    against = [each for role, each in found.items() if role not in ("candidate", "null")]
    ratios = [statistics.ratio(each.counted_us, mine.counted_us) for each in against]
    return all(
        (ratio.high - ratio.low) / 2
        <= max(pace.speedup_within * ratio.value, pace.apart * abs(ratio.value - 1))
        for ratio in ratios
    )


def seed() -> int:
    """Draw a seed nobody can foresee."""
    return secrets.randbits(48)


def _fill(tensor: torch.Tensor, byte: int) -> None:
    if tensor.numel():
        tensor.view(-1).view(torch.uint8).fill_(byte)


def all_right(got: Sequence[Any], exact: Sequence[Any], limits: Sequence[Limits]) -> bool:
    """Whether every output is within its limits."""
    return all(
        tolerance.compare(g, e, limit, detail=False).reason is None
        for g, e, limit in zip(got, exact, limits, strict=True)
    )
