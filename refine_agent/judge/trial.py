"""The house: a problem on a device, its witnesses, and the trials that are held in it.

It owns what is set up once and shared by every trial, and the order of a trial; what a candidate is
asked is ``examiner``'s, what the samples amount to ``weighing``'s.
"""

from __future__ import annotations

import ctypes
import math
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from msgspec.structs import replace

from refine_agent import arena as arenas
from refine_agent.judge import (
    cases,
    ceilings,
    room,
    statistics,
    tolerance,
    unsteady,
    weighing,
    work,
)
from refine_agent.judge.ahead import Ahead
from refine_agent.judge.examiner import (
    PACES,
    POISON,
    Examiner,
    Key,
    Pace,
    Question,
    all_right,
    seed,
)
from refine_agent.judge.glimpse import Memory
from refine_agent.judge.layers import ALL_LAYERS
from refine_agent.judge.lead import TURN_US, Cadence, Lead, unhurried
from refine_agent.judge.leash import Leash
from refine_agent.judge.reference import ProblemFault, Reference
from refine_agent.judge.seats import Block, Deadlines, Ended, Seat
from refine_agent.judge.settled import Known, Settled
from refine_agent.judge.stolen import Stolen
from refine_agent.profiling import roofline
from refine_agent.records import (
    AnyVerdict,
    Baseline,
    Crashed,
    Fitness,
    Mismatch,
    Passed,
    Phase,
    Suspicion,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refine_agent.judge.cases import Case
    from refine_agent.judge.layers import Layers
    from refine_agent.judge.orders import Try
    from refine_agent.judge.tolerance import Limits
    from refine_agent.wire import Channel, Traced

NOTHING_KNOWN = Known()
# A witness is trusted; its first call may compile for minutes, and it stays for as long as a run.
WITNESS_DEADLINES = Deadlines(load_s=600.0, calls_s=900.0, trial_s=math.inf)
PROFILE_DEADLINES = Deadlines(load_s=600.0, calls_s=180.0)
# Slots on a CPU: enough calls in a block for the judge's clock, as long as they are small.
CPU_SLOTS, CPU_SLOT_BYTES, CPU_MANY_BYTES = 64, 64 << 20, 8 << 20
# A block in which the reference takes this long is long enough: more calls are only waited for.
CPU_BLOCK_S = 0.1
# There a call on many megabytes takes long, and so does its answer in float64: three of the
# stresses, drawn anew in every trial, and all of them when a result is sealed.
MANY_BYTES, FEW_STRESSES = 32 << 20, 3
# Each worker keeps the results of a block besides; there are five of them.
GPU_MEMORY_PART, GPU_SLOTS, GPU_CALLS = 0.1, 64, 24
COOLING_RUNS = 9
# Witnesses are timed for so long to begin with; what a speedup is of is timed in each trial again.
BASELINE_S = 0.9
# Outputs of fewer numbers than this have limits of more draws than one, as many as there is time.
FEW, MORE_DRAWS, MORE_DRAWS_S = 16, 8, 0.3
MAX_DETAIL_CHARS = 300


class House:
    """A problem on a device, with the witnesses a candidate is held against."""

    def __init__(self, source: str, *, device: str, known: Known = NOTHING_KNOWN) -> None:
        self.device = device
        self.kind: Literal["cpu", "cuda"] = "cuda" if device.startswith("cuda") else "cpu"
        if self.kind == "cuda":
            torch.cuda.set_device(device)
        began = time.monotonic()
        self.reference = Reference(source, device=device, seed=seed())
        self.layout = self.reference.layout
        example = self.reference.draw(seed=seed())
        self.work = known.work or work.count(self.reference, example)
        tensors = self.reference.tensors(example)
        self._structures = cases.structure(
            tensors, lambda: self.reference.tensors(self.reference.draw(seed=seed()))
        )
        self._free_inputs = len(cases.free(tensors, self._structures))
        self.ahead = Ahead(self)
        self._usual: list[torch.Tensor] | None = None  # nominal inputs of the last trial
        self.ceilings = known.ceilings or ceilings.measure(device)
        self.many_bytes = self.kind == "cpu" and self.layout.slot_bytes > MANY_BYTES
        self.slots, calls = self._plan()
        self._arena = arenas.allocate(device, self.layout.slot_bytes * self.slots)
        self._guests = arenas.allocate(device, self.layout.slot_bytes * self.slots)
        self._cold: torch.Tensor | None = None
        self.usual_cooling_us = statistics.median([self.cool() for _ in range(COOLING_RUNS)])
        self.witnesses: dict[str, Seat] = {}
        lead = Lead(device) if self.kind == "cuda" else None
        self.cadence = Cadence(calls=calls, lead=lead)
        self._sensitivity = dict(known.sensitivity)
        self.fitness = known.fitness or self._examine()
        self._usable = tuple(case for case in cases.STRESSES if case.name in self.fitness.cases)
        self.exact_in_integers = cases.INTEGERS.name in self.fitness.cases
        floors = roofline.floors(self.work, self.ceilings)
        self.bound_us = floors.bound.us if floors.bound is not None else None
        self.floor_us = floors.ceiling.us if floors.ceiling is not None else None
        self._phases = (Phase(name="fitness", seconds=time.monotonic() - began),)

    @property
    def settled(self) -> Settled:
        """What was found out before anyone was judged."""
        return Settled(
            fitness=self.fitness,
            sensitivity=self._sensitivity,
            work=self.work,
            ceilings=self.ceilings,
            bound_us=self.bound_us,
            floor_us=self.floor_us,
            torch=str(torch.__version__),
            phases=self._phases,
        )

    def _plan(self) -> tuple[int, int]:
        """Say how many slots there are, and how many calls make a block.

        On a GPU the judge flushes the L2 before each block and a block uses no slot twice, so that
        no input is warm; nothing the candidate could leave out is subtracted from its time. On a
        CPU a call on many bytes is long enough for the judge's clock by itself, and so are a few
        that take the reference long.
        """
        size = self.layout.slot_bytes
        if self.kind == "cpu":
            wanted = max(2, min(CPU_SLOTS, CPU_SLOT_BYTES // size))
            if size > CPU_MANY_BYTES:
                return wanted, 1
            enough = int(CPU_BLOCK_S / self._reference_takes()) + 1
            return wanted, max(1, min(enough, wanted // 2))
        free, _ = torch.cuda.mem_get_info(self.device)
        most = max(2, int(free * GPU_MEMORY_PART) // size)
        slots = max(2, min(most, max(8, min(GPU_SLOTS, -(-self._flush_bytes() // size)))))
        return slots, min(slots, GPU_CALLS)

    def _reference_takes(self) -> float:
        """Return the seconds of a call of the reference, to the order of magnitude."""
        arguments = self.reference.draw(seed=seed())
        began = time.perf_counter()
        self.reference.answer(arguments)
        return max(1e-6, time.perf_counter() - began)

    # --- fitness --------------------------------------------------------------------------------

    def _examine(self) -> Fitness:
        """Find the cases on which the reference is sound, and have impostors tried on them."""
        usable: list[Case] = []
        dropped: list[str] = []
        lineup: _Lineup | None = None
        rounds = False  # otherwise the reference never does, or its oracle does as it does
        for case in (cases.NOMINAL, *cases.STRESSES):
            asked = self._soundly_asked(case)
            if asked is None:
                dropped.append(case.name)
                continue
            usable.append(case)
            if lineup is None:
                stale = self._exact(self.question(cases.NOMINAL))
                lineup = _Lineup(self.reference, stale, allowed=asked[1].limits[0].norm)
            if case is cases.NOMINAL:
                rounds = not _same_everywhere(asked[0].expected, asked[1].exact)
            lineup.look_at(*asked)
        if lineup is None:
            raise ProblemFault(
                "the reference is not finite, or not within 2 % of its float64 self, on any "
                "inputs; check get_inputs()"
            )
        if cases.PARTLY in usable:
            self._look_closer(lineup)
        if rounds and self._is_exact_in_integers():
            usable.append(cases.INTEGERS)
        return Fitness(
            rejected=lineup.rejected,
            accepted=lineup.accepted,
            cases=tuple(case.name for case in usable),
            dropped=tuple(dropped),
            blind_to=tuple(lineup.blind_to),
            allowed_error=lineup.allowed,
            inputs=tuple(map(str, self.layout.inputs)),
            outputs=tuple(map(str, self.layout.outputs)),
        )

    def _look_closer(self, lineup: _Lineup) -> None:
        """Ask about a part unlike the rest as a check does, where half passes for all."""
        for case in self.parts_apart():
            if not (cases.HALVES.keys() & set(lineup.blind_to)) - set(lineup.rejected):
                return
            asked = self._soundly_asked(case)
            if asked is not None:
                lineup.look_at(*asked)

    def _soundly_asked(self, case: Case) -> tuple[Question, Key] | None:
        """Return a question of this kind and its key, unless the reference cannot answer it."""
        try:
            question = self.draw(case)
        except ProblemFault:
            if case is cases.NOMINAL:
                raise
            return None  # such inputs are outside of its domain, and it says so
        key = self.key(question)
        return (question, key) if key is not None else None

    def _is_exact_in_integers(self) -> bool:
        """Whether the reference is exact in float32 on integers: linear, and TF32 not allowed."""
        if self.layout.outputs[0].dtype != "float32":
            return False
        question = self.question(cases.INTEGERS)
        exact = self.reference.oracle(self.reference.replant(question.tensors))
        if exact is None:  # then nobody knows
            return False
        return any(bool(e.any()) for e in exact) and _same_everywhere(question.expected, exact)

    # --- questions and their answers ------------------------------------------------------------

    @property
    def stresses(self) -> list[Case]:
        """The cases besides the nominal one on which the reference is sound."""
        return list(self._usable)

    @property
    def most_stresses(self) -> int:
        """How many of them a turn's check asks, if no rule asks for all."""
        return FEW_STRESSES if self.many_bytes else len(self._usable)

    def compares_exactly(self, *, sealed: bool) -> bool:
        """Whether every answer of a check is, or looked at quickly first: an exact one takes long.

        It is where the problem itself gives a bound, which may be a tighter one.
        """
        return sealed or not self.many_bytes or self.reference.tolerance is not None

    @property
    def tells_no_half(self) -> bool:
        """Whether half of nominal inputs has the answer of all, and other inputs may tell."""
        blind = not cases.HALVES.keys().isdisjoint(self.fitness.blind_to)
        return blind and cases.PARTLY in self._usable

    def parts_apart(self) -> list[Case]:
        """Return the cases of a part unlike the rest, with parts all over the inputs."""
        return cases.parts_apart(self._free_inputs)

    def question(self, case: Case) -> Question:
        """Return fresh inputs of a kind, prepared for this trial or drawn now, and the answer."""
        if case is cases.NOMINAL:
            question = self.ahead.take(case) or self.draw(case)
            self._usual = question.tensors if self.many_bytes else None
            return question
        if (prepared := self.ahead.take(case)) is not None:
            return prepared
        try:
            return self.draw(case)
        except ProblemFault:  # these happen to lie outside of the reference's domain
            return self.question(cases.NOMINAL)

    def draw(self, case: Case) -> Question:
        """Draw fresh inputs of a kind, and ask the reference."""
        number = seed()
        drawn = self.reference.tensors(self.reference.draw(seed=number))
        kind = case.of or case
        tensors = cases.transform(kind, drawn, self._structures, seed=number ^ 1)
        if case.of is not None:
            tensors = cases.nearly(tensors, self._structures, seed=number ^ 2)
        return self._asked(case, tensors)

    def changed(self, before: Question) -> Question:
        """Ask about inputs that differ in one element; about others where that cannot be."""
        changed = cases.nearly(before.tensors, self._structures, seed=seed())
        try:
            question = self._asked(cases.nearly_of(before.case), changed)
        except ProblemFault:
            return self.question(cases.NOMINAL)
        sound = not self.reference.finite or all(map(tolerance.is_finite, question.expected))
        return question if sound else self.question(cases.NOMINAL)

    def _asked(self, case: Case, tensors: list[torch.Tensor]) -> Question:
        expected = self.reference.answer(self.reference.replant(tensors))
        self._must_be_shaped(expected)
        return Question(case=case, tensors=tensors, expected=expected)

    def _must_be_shaped(self, results: list[torch.Tensor]) -> None:
        shapes = [tuple(result.shape) for result in results]
        usual = [spec.shape for spec in self.layout.outputs]
        if shapes != usual:
            raise ProblemFault(
                f"Model.forward returns tensors of shapes {shapes}, where it returned {usual} for "
                "other inputs; make shapes depend on those of the inputs only (masks instead of "
                "boolean indexing)"
            )

    def key(self, question: Question) -> Key | None:
        """Return the exact answer and its limits; ``None`` where the reference itself is lost."""
        return self.ahead.key(question) or self.find_key(question)

    def find_key(self, question: Question) -> Key | None:
        """Find the exact answer and its limits; ``None`` where the reference itself is lost."""
        exact = self._exact(question)
        if question.case is cases.INTEGERS:
            return Key(exact=exact, limits=[tolerance.limits_of_integers() for _ in exact])
        limits = self._limits(question, exact, self._sensitivity_to(question, exact))
        if question.case is not cases.NOMINAL and not self._is_sound(question, exact, limits):
            return None
        return Key(exact=exact, limits=limits)

    def nearer_key(self, question: Question, key: Key) -> Key:
        """Find limits by how far the answer to these very inputs moves, not others of their kind.

        Where a sum happens to be next to nothing, whatever is divided by it is off by more.
        """
        if question.case is cases.INTEGERS:
            return key
        own = self._sensitivity_of(question.tensors, key.exact)
        usual = self._sensitivity_to(question, key.exact)
        limits = self._limits(question, key.exact, tuple(map(max, own, usual)))
        sound = self._is_sound(question, key.exact, limits)
        return Key(exact=key.exact, limits=limits) if sound else key

    def _limits(
        self, question: Question, exact: list[torch.Tensor], sensitivity: tuple[float, ...]
    ) -> list[Limits]:
        return [
            tolerance.limits(
                n,
                e,
                sensitivity=moved,
                given=self.reference.tolerance,
                # What was a tensor's is as good as that, whatever a plain number could hold.
                floor=tolerance.NORM_FLOOR["float32"] if is_number else None,
            )
            for n, e, moved, is_number in zip(
                question.expected, exact, sensitivity, self.reference.numbers, strict=True
            )
        ]

    def _is_sound(
        self, question: Question, exact: list[torch.Tensor], limits: list[Limits]
    ) -> bool:
        """Whether the reference is near enough to the exact answer to be asked such questions."""
        for native, e, limit in zip(question.expected, exact, limits, strict=True):
            if not (e.is_floating_point() or e.is_complex()):
                continue
            if not limit.norm < cases.UNSOUND * 8:
                return False
            if limit.all_finite:
                continue
            if self.reference.finite and not tolerance.is_finite(e):
                return False
            if tolerance.overflows(native, e):
                return False
        return True

    def may_stand(self, question: Question, number: int, got: torch.Tensor, key: Key) -> bool:
        """Whether an output that is off is so in a few elements that rounding decides."""
        size = unsteady.nudge_of(question.tensors)

        def moved() -> torch.Tensor | None:
            tensors = cases.nudged(
                question.tensors, seed=seed(), size=size, structures=self._structures
            )
            answers = self.reference.oracle(self.reference.replant(tensors), moved=size)
            return answers[number] if answers is not None else None

        exact, native = key.exact[number], question.expected[number]
        return unsteady.may_stand(got, exact, native, key.limits[number], moved=moved)

    def _exact(self, question: Question) -> list[torch.Tensor]:
        arguments = self.reference.replant(question.tensors)
        return self.reference.oracle(arguments) or question.expected

    def _sensitivity_to(self, question: Question, exact: list[torch.Tensor]) -> tuple[float, ...]:
        """How far the answers to inputs of this kind move; found out once per kind."""
        name = question.case.kind
        if name not in self._sensitivity:
            moved = self._sensitivity_of(question.tensors, exact)
            own = self._own_of_others(question.case, exact)
            self._sensitivity[name] = tuple(map(max, moved, own))
        return self._sensitivity[name]

    def _own_of_others(self, case: Case, exact: list[torch.Tensor]) -> list[float]:
        """How far the reference is off in other draws, as if it were sensitive.

        What it makes of a few numbers is a matter of luck: the limit is to be that of bad luck.
        """
        worst = [0.0] * len(exact)
        few = [n for n, e in enumerate(exact) if e.is_floating_point() and 0 < e.numel() < FEW]
        ends = time.monotonic() + MORE_DRAWS_S
        for _ in range(MORE_DRAWS if few else 0):
            question = self.question(case)
            answer = self._exact(question)
            for n in few:
                own = tolerance.distance(question.expected[n], answer[n])
                if math.isfinite(own):
                    worst[n] = max(worst[n], own * tolerance.SLACK / tolerance.SENSITIVITY_SLACK)
            if time.monotonic() > ends:
                break
        return worst

    def _sensitivity_of(
        self, tensors: list[torch.Tensor], exact: list[torch.Tensor]
    ) -> tuple[float, ...]:
        """How far the exact answer moves when the inputs do by a rounding or two."""
        # Further than that, and then as if it were no further: a step is met, or it is not.
        far = tolerance.SENSITIVITY_SLACK
        nudged = cases.nudged(tensors, seed=seed(), size=far * cases.NUDGE)
        moved = self.reference.oracle(self.reference.replant(nudged))
        if moved is None:
            return (0.0,) * len(exact)
        return tuple(
            tolerance.distance(a, b) / far if b.is_floating_point() or b.is_complex() else 0.0
            for a, b in zip(moved, exact, strict=True)
        )

    # --- witnesses ------------------------------------------------------------------------------

    def seat(self, channel: Channel, role: str, source: str, pid: int) -> str | None:
        """Seat a witness (the reference, eager or compiled, or a candidate that does nothing).

        Returns the fence its process closed around itself.
        """
        leash = Leash(pid, uid=None)
        seat = Seat(channel, role, deadlines=WITNESS_DEADLINES, leash=leash)
        seat.greet(within_s=WITNESS_DEADLINES.load_s)  # torch.compile may get ready before
        seat.map(self._arena, self.layout, self.slots)
        self._load(seat, source)
        if not self.witnesses or self.reference.changes_inputs:
            self._fill(seat, range(self.slots))
        slots = tuple(range(1 if self.many_bytes else min(2, self.slots)))
        for _ in range(self._warm_ups(role)):
            seat.call(slots, during="warm-up")
        self._keep_cadence(seat)
        seat.remember_bearings()
        self.witnesses[role] = seat
        return seat.fence

    def _warm_ups(self, role: str) -> int:
        """How often a witness is called before anything is timed; a compiled one compiles first."""
        if not self.many_bytes:
            return 3
        return 1 if role in ("null", "eager") else 3

    def baseline(self) -> Baseline:
        """Time the witnesses side by side, as a candidate will be."""
        pace = replace(PACES[self.kind], seconds=BASELINE_S)
        found = Examiner(self, None, ALL_LAYERS).sample(pace)
        self._usual = None
        compiled = found.get("compiled")
        return Baseline(
            eager=statistics.timing(found["eager"].flat_us),
            compiled=statistics.timing(compiled.flat_us) if compiled is not None else None,
        )

    def _load(self, seat: Seat, source: str) -> Any:  # noqa: ANN401 - a wire.Loaded
        return seat.load(
            source,
            self.reference.state(),
            device=self.device,
            seed=self.reference.seed,
            precision=self.reference.precision,
        )

    def _fill(self, seat: Seat, slots: Sequence[int]) -> None:
        """Put nominal inputs into slots: for no verdict, so they may have been asked before."""
        usual, self._usual = self._usual, None
        drawn = usual or self.reference.tensors(self.reference.draw(seed=seed()))
        for slot in slots:
            for target, tensor in zip(seat.inputs(slot), drawn, strict=True):
                target.copy_(tensor)
        self.settle()

    def _hand_arena(self, guest: Seat, *, lax: bool = False, dense: bool = True) -> None:
        """Hand a guest the memory that guests share, without a word in it from the one before.

        Two slots of 268 MB take 0.08 s on two cores. No earlier time would do: until the bench has
        ended it, the guest before may write there.
        """
        self._guests.bytes(0, self._guests.total_bytes).fill_(POISON)
        self.settle()
        guest.map(self._guests, self.layout, self.slots, lax=lax, dense=dense)

    # --- the device -----------------------------------------------------------------------------

    def _keep_cadence(self, seat: Seat) -> None:
        """Make blocks so small that no witness is timed by its launches."""
        if self.kind == "cpu":
            return

        def ask(cadence: Cadence) -> Block:
            slots = tuple(range(cadence.calls))
            return seat.call(slots, during="warm-up", lead=cadence.lead)

        self.cadence = unhurried(self.cadence, ask)
        if seat.role == "eager":
            looks = sum(ask(self.cadence).claims_us) < TURN_US
            self.cadence = replace(self.cadence, looks=looks)

    def settle(self) -> None:
        """Wait until what the judge itself asked of the device is done."""
        if self.kind == "cuda":
            torch.cuda.synchronize()

    def cool(self) -> float:
        """Write twice the L2 from the judge's own context; return the microseconds it took.

        Writing evicts what an access-policy window keeps only once those lines are reset, which
        ``cudaCtxResetPersistingL2Cache`` does for the whole device (CUDA C++ Programming Guide,
        "L2 Persistence").
        """
        if self.kind == "cpu":
            return 0.0
        if self._cold is None:
            self._cold = torch.empty(self._flush_bytes(), dtype=torch.uint8, device=self.device)
        _reset_persisting_l2()
        torch.cuda.synchronize()
        began = time.perf_counter_ns()
        self._cold.zero_()
        torch.cuda.synchronize()
        return (time.perf_counter_ns() - began) / 1e3

    def _flush_bytes(self) -> int:
        return 2 * int(torch.cuda.get_device_properties(self.device).L2_cache_size)

    # --- a trial --------------------------------------------------------------------------------

    def capture(self, channel: Channel, source: str, deadlines: Deadlines) -> AnyVerdict | None:
        """Have a worker load the source far from any device, so that what it builds is built."""
        seat = Seat(channel, "candidate", deadlines=deadlines)
        try:
            seat.greet()
            seat.load(
                source,
                self.reference.state(),
                device="cpu",
                seed=self.reference.seed,
                precision=self.reference.precision,
            )
        except Ended as ended:
            return ended.verdict
        finally:
            seat.close()
        return None

    def try_candidate(self, channel: Channel, order: Try) -> AnyVerdict:
        """Try one candidate from the greeting to the verdict."""
        ledger: list[Phase] = []
        leash = Leash(order.pid, uid=order.uid, guest=True) if order.layers.stopped else None
        seat = Seat(
            channel,
            "candidate",
            deadlines=order.deadlines,
            leash=leash,
            takes_prints=self.kind == "cuda" and order.layers.idle,
            memory=Memory(order.pid) if self._looks_inside(order.layers) else None,
        )
        self.ahead.open(order.source)
        self._usual = None
        noticed: list[Suspicion] = []
        try:
            verdict = self._try(seat, order, ledger, noticed)
        except Ended as ended:
            verdict = _with_what_was_noticed(ended.verdict, noticed)
        except Exception as why:
            if not room.was_lacking(why):
                raise
            verdict = _no_room(why, during=ledger[-1].name if ledger else "load")
        finally:
            self.ahead.close()
            seat.close()
        if not isinstance(verdict, Passed):
            self._usual = None  # no profile is made of it
        return replace(verdict, phases=tuple(ledger), fence=seat.fence)

    def _looks_inside(self, layers: Layers) -> bool:
        """Whether results are looked at where they lie: dense, stopped, and off the clock."""
        wanted = layers.clock and layers.delivery and layers.stopped
        return self.kind == "cpu" and wanted and layers.dense and layers.shapes

    def _try(
        self, seat: Seat, order: Try, ledger: list[Phase], noticed: list[Suspicion]
    ) -> AnyVerdict:
        layers = order.layers
        examiner = Examiner(self, seat, layers)
        for witness in self.witnesses.values():
            witness.restore_bearings()
        with self.reference.untouched():
            if not layers.parameters:
                self.ahead.finish()
                self.reference.reseed_as_constructed()
            with _phase(ledger, "load"):
                seat.greet()
                self._hand_arena(seat, lax=not layers.shapes, dense=layers.dense)
                oddities = self._oddities(self._load(seat, order.source))
                noticed += oddities
                seat.stop()
            with _phase(ledger, "check"):
                examiner.warm_up()
                exactly = self.compares_exactly(sealed=order.sealed)
                oddities += examiner.held(exactly=exactly)
                every = order.sealed or self.kind == "cuda"
                checks = examiner.check(every=every, exactly=exactly)
                oddities += examiner.quiet()
            with _phase(ledger, "timing"):
                alone = examiner.alone()
                singles = examiner.alone(led=True) if self.kind == "cuda" else alone
                stolen = Stolen()
                blocks = examiner.sample(self._pace(order))
                while weighing.unsettled(blocks, alone, layers, kind=self.kind):
                    examiner.sample_more(blocks)
        evidence = weighing.Evidence(
            blocks=blocks,
            alone=alone,
            singles=singles,
            checks=checks,
            oddities=tuple(oddities),
            stolen_part=stolen.part(),
            sealed=order.sealed,
        )
        return weighing.weigh(evidence, self.settled, layers, kind=self.kind)

    def _pace(self, order: Try) -> Pace:
        usual, deadlines = PACES[self.kind], order.deadlines
        bounds = [deadlines.sampling_s, None if order.sealed else deadlines.unsealed_sampling_s]
        return replace(usual, seconds=min([usual.seconds, *(b for b in bounds if b is not None)]))

    def _oddities(self, loaded: Any) -> list[Suspicion]:  # noqa: ANN401 - a wire.Loaded
        if loaded.state != "seeded" or not any(True for _ in self.reference.model.parameters()):
            return []
        self.ahead.finish()
        self.reference.reseed_as_constructed()
        detail = (loaded.detail or "its parameters could not be set")[:MAX_DETAIL_CHARS]
        return [
            Suspicion(
                kind="parameters",
                evidence=f"{detail}; judged with the values its own constructor drew",
            )
        ]

    # --- profiling ------------------------------------------------------------------------------

    def trace(self, channel: Channel, source: str) -> Traced:
        """Have a worker run torch.profiler around a call; return what it claims to have seen."""
        seat = Seat(channel, "candidate", deadlines=PROFILE_DEADLINES)
        try:
            seat.greet()
            self._hand_arena(seat)
            self._load(seat, source)
            self._fill(seat, (0,))
            seat.call((0,), during="profile")
            return seat.trace(0)
        finally:
            seat.close()

    def call_once(self, channel: Channel, source: str, role: str) -> None:
        """Have a worker call once to warm up and once in the range that a profiler watches."""
        seat = Seat(channel, role, deadlines=PROFILE_DEADLINES)
        try:
            seat.greet()
            self._hand_arena(seat)
            self._load(seat, source)
            self._fill(seat, (0, 1))
            seat.call((0,), during="profile")
            called = seat.call((1,), during="profile", nvtx="candidate")
            seat.deliver((1,), called, during="profile")  # a sanitizer sees what was not written
        finally:
            seat.close()


class _Lineup:
    """Impostors, and whether any question has shown them to be what they are."""

    def __init__(self, reference: Reference, stale: list[torch.Tensor], *, allowed: float) -> None:
        self.allowed = allowed  # the norm-wise limit on nominal inputs
        self.blind_to: list[str] = []  # who passed on nominal inputs
        self._reference = reference
        self._stale = stale
        self._caught: dict[str, bool] = {}

    @property
    def rejected(self) -> tuple[str, ...]:
        """Who was caught by one question at least."""
        return tuple(sorted(name for name, caught in self._caught.items() if caught))

    @property
    def accepted(self) -> tuple[str, ...]:
        """Who passed on every question."""
        return tuple(sorted(name for name, caught in self._caught.items() if not caught))

    def look_at(self, question: Question, key: Key) -> None:
        """Hold the answers of those who were not caught so far against the key."""
        for impostor in cases.impostors(
            self._reference,
            question.tensors,
            key.exact,
            self._stale,
            allowed=self.allowed,
            known=self.rejected,
        ):
            right = all_right(impostor.results, key.exact, key.limits)
            self._caught[impostor.name] = not right
            if right and question.case is cases.NOMINAL:
                self.blind_to.append(impostor.name)


def _same_everywhere(native: list[torch.Tensor], exact: list[torch.Tensor]) -> bool:
    return all(bool((n == e).all()) for n, e in zip(native, exact, strict=True))


def _with_what_was_noticed(verdict: AnyVerdict, noticed: Sequence[Suspicion]) -> AnyVerdict:
    """Say of a wrong answer what may have made it one: parameters that could not be set."""
    if not isinstance(verdict, Mismatch) or not noticed:
        return verdict
    said = "; ".join(doubt.evidence for doubt in noticed)
    return replace(verdict, reason=f"{verdict.reason}; note: {said}")


def _no_room(why: Exception, *, during: str) -> Crashed:
    """Say that the judge had no memory left for an answer, where it had before the candidate."""
    return Crashed(
        during=during,
        reason=f"memory was full when the judge computed the right answer ({room.said(why)}); it "
        "was not before the candidate's processes were there: keep less, and free what a call no "
        "longer needs. If something else on this machine filled it, have this judged again",
    )


@contextmanager
def _phase(ledger: list[Phase], name: str) -> Iterator[None]:
    """Enter the seconds of a phase in the ledger, also when it ends the trial."""
    began = time.monotonic()
    try:
        yield
    finally:
        ledger.append(Phase(name=name, seconds=time.monotonic() - began))


def _reset_persisting_l2() -> None:
    """Make every L2 line normal again, whichever context asked for it to persist."""
    runtime: Any = torch.cuda.cudart()
    reset = getattr(runtime, "cudaCtxResetPersistingL2Cache", None)
    if reset is not None:
        reset()
        return
    ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache()
