"""The trial of one candidate: fresh inputs, every output checked, two clocks, one verdict.

It owns the order of a trial and what its findings amount to; the exchange with a worker is
``seats``'s, distances are ``tolerance``'s, medians are ``statistics``'s.
"""

from __future__ import annotations

import random
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from msgspec.structs import replace

from refine_agent import arena as arenas
from refine_agent.judge import cases, ceilings, statistics, tolerance, work
from refine_agent.judge.reference import ProblemFault, Reference
from refine_agent.judge.seats import Ended, Seat
from refine_agent.judge.settled import Known, Settled
from refine_agent.profiling import roofline
from refine_agent.records import (
    AnyVerdict,
    Baseline,
    Checks,
    Disqualified,
    Fitness,
    Mismatch,
    Passed,
    Phase,
    Suspicion,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.judge.cases import Case
    from refine_agent.judge.tolerance import Limits
    from refine_agent.profiling.records import Ceilings, Work
    from refine_agent.wire import Channel, Traced

# An expert's rule of thumb (KernelBench's EVAL.md says the same): over twice as fast as a tuned
# compiler is more often a bug in one's favour than a breakthrough.
INCREDIBLE = 2.0
NOTHING_KNOWN = Known()
# The judge's clock and the worker's claim may differ by this much and this many microseconds: the
# doorbell's jitter, divided by the calls of a block, and what two clocks of one machine disagree by.
CLOCKS_AGREE = {"cuda": 0.15, "cpu": 0.35}
CLOCK_SLACK_US = {"cuda": 15.0, "cpu": 3000.0}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How long a device is sampled for."""

    blocks: int
    most_blocks: int
    seconds: float
    within: float  # stop when the interval's half-width is this part of the median


PACES = {
    "cuda": Pace(blocks=6, most_blocks=24, seconds=1.2, within=0.004),
    "cpu": Pace(blocks=5, most_blocks=9, seconds=2.5, within=0.03),
}


class House:
    """A problem on a device, with the witnesses a candidate is held against."""

    def __init__(self, source: str, *, device: str, known: Known = NOTHING_KNOWN) -> None:
        self.device = device
        self.kind = "cuda" if device.startswith("cuda") else "cpu"
        if self.kind == "cuda":
            torch.cuda.set_device(device)
        began = time.monotonic()
        self.reference = Reference(source, device=device, seed=_seed())
        self.layout = self.reference.layout
        example = self.reference.draw(seed=_seed())
        self.work = work.count(self.reference, example)
        self.ceilings = known.ceilings or ceilings.measure(device)
        self._slots, self._per_block = self._plan()
        self._arena = arenas.allocate(device, self.layout.slot_bytes * self._slots)
        self._guests = arenas.allocate(device, self.layout.slot_bytes * self._slots)
        self._witnesses: dict[str, Seat] = {}
        self._sensitivity = dict(known.sensitivity)
        self.fitness = known.fitness or self._examine()
        self._usable = tuple(
            case for case in (cases.NOMINAL, *cases.STRESSES) if case.name in self.fitness.cases
        )
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
            precision=self.reference.precision,
            torch=str(torch.__version__),
            phases=self._phases,
        )

    def _plan(self) -> tuple[int, int]:
        """Say how many slots there are, and how many calls make a block.

        On a GPU the slots together are twice the L2, so that no input is warm; on a CPU a call is
        long enough for the judge's clock by itself.
        """
        size = self.layout.slot_bytes
        if self.kind == "cpu":
            wanted = max(2, min(16, (64 << 20) // size))
            return wanted, 1 if size > 8 << 20 else wanted
        l2 = torch.cuda.get_device_properties(self.device).L2_cache_size
        free, _ = torch.cuda.mem_get_info(self.device)
        most = max(2, int(free * 0.15) // size)
        slots = max(2, min(most, max(8, min(64, -(-2 * l2 // size)))))
        return slots, min(slots, 24)

    # --- fitness --------------------------------------------------------------------------------

    def _examine(self) -> Fitness:
        """Find the cases on which the reference is sound, and have impostors tried on them."""
        usable: list[Case] = []
        dropped: list[str] = []
        seen: dict[str, bool] = {}
        allowed: float | None = None
        stale = None
        for case in (cases.NOMINAL, *cases.STRESSES):
            trial_case = self._draw_case(case)
            if trial_case is None:
                dropped.append(case.name)
                continue
            tensors, exact, limit = trial_case
            usable.append(case)
            allowed = allowed if allowed is not None else limit[0].norm
            if stale is None:
                other = self._draw_case(cases.NOMINAL)
                stale = other[1] if other is not None else exact
            caught = {name for name, was_caught in seen.items() if was_caught}
            for impostor in cases.impostors(
                self.reference, tensors, exact, stale, allowed=limit[0].norm, known=caught
            ):
                seen[impostor.name] = not _all_right(impostor.results, exact, limit)
        if not usable:
            raise ProblemFault(
                "the reference is not finite, or not within 2 % of its float64 self, on any inputs; "
                "check get_inputs()"
            )
        rejected = {name for name, caught in seen.items() if caught}
        return Fitness(
            rejected=tuple(sorted(rejected)),
            accepted=tuple(sorted(seen.keys() - rejected)),
            cases=tuple(case.name for case in usable),
            dropped=tuple(dropped),
            allowed_error=allowed,
            inputs=tuple(map(str, self.layout.inputs)),
            outputs=tuple(map(str, self.layout.outputs)),
        )

    def _draw_case(
        self, case: Case
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[Limits]] | None:
        """Draw inputs, the exact answer and the limits; ``None`` where the reference is unsound."""
        seed = _seed()
        drawn = self.reference.draw(seed=seed)
        tensors = cases.transform(case, self.reference.tensors(drawn), seed=seed ^ 1)
        arguments = self.reference.replant(tensors)
        native = self.reference.answer(arguments)
        exact = self.reference.oracle(arguments) or native
        if case.name not in self._sensitivity:
            self._sensitivity[case.name] = self._sensitivity_of(tensors, exact)
        found = [
            tolerance.limits(n, e, sensitivity=moved, given=self.reference.tolerance)
            for n, e, moved in zip(native, exact, self._sensitivity[case.name], strict=True)
        ]
        sound = all(
            bool(torch.isfinite(e).all()) and limit.norm < cases.UNSOUND * 8
            for e, limit in zip(exact, found, strict=True)
            if e.is_floating_point()
        )
        if not sound and case is not cases.NOMINAL:
            return None
        return tensors, exact, found

    def _sensitivity_of(
        self, tensors: list[torch.Tensor], exact: list[torch.Tensor]
    ) -> tuple[float, ...]:
        """How far the exact answer moves when the inputs do by a rounding or two."""
        moved = self.reference.oracle(self.reference.replant(cases.nudged(tensors, seed=_seed())))
        if moved is None:
            return (0.0,) * len(exact)
        return tuple(
            tolerance.distance(a, b) if b.is_floating_point() else 0.0
            for a, b in zip(moved, exact, strict=True)
        )

    # --- witnesses ------------------------------------------------------------------------------

    def seat(self, channel: Channel, role: str, source: str) -> None:
        """Seat a witness: the reference run eagerly or compiled, or the candidate that does nothing."""
        seat = Seat(channel, role, calls_deadline_s=900.0)
        seat.greet()
        seat.map(self._arena, self.layout, self._slots)
        self._load(seat, source)
        self._fill(seat, range(self._slots), [self.reference.draw(seed=_seed())] * self._slots)
        for _ in range(3):  # the compiled witness compiles in its first call
            seat.call(tuple(range(min(2, self._slots))), during="warm-up")
        self._witnesses[role] = seat

    def baseline(self) -> Baseline:
        """Time the witnesses side by side, as a candidate will be."""
        found = self._sample(None, PACES[self.kind])
        compiled = found.get("compiled")
        return Baseline(
            eager=statistics.timing(_flat(found["eager"].claims)),
            compiled=statistics.timing(_flat(compiled.claims)) if compiled is not None else None,
        )

    def _load(self, seat: Seat, source: str) -> Any:  # noqa: ANN401 - a wire.Loaded
        return seat.load(
            source,
            self.reference.state(),
            device=self.device,
            seed=self.reference.seed,
            precision=self.reference.precision,
        )

    def _fill(self, seat: Seat, slots: Any, drawn: list[Any]) -> None:  # noqa: ANN401 - a range or tuple
        for slot, arguments in zip(slots, drawn, strict=True):
            for target, tensor in zip(
                seat.inputs(slot), self.reference.tensors(arguments), strict=True
            ):
                target.copy_(tensor)
        self._settle()

    def _settle(self) -> None:
        if self.kind == "cuda":
            torch.cuda.synchronize()

    # --- a trial --------------------------------------------------------------------------------

    def capture(self, channel: Channel, source: str) -> AnyVerdict | None:
        """Have a worker load the source far from any device, so that whatever it builds is built."""
        seat = Seat(channel, "candidate")
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

    def try_candidate(self, channel: Channel, source: str, *, sealed: bool = False) -> AnyVerdict:
        """Try one candidate from the greeting to the verdict."""
        ledger: list[Phase] = []
        seat = Seat(channel, "candidate")
        try:
            verdict = self._try(seat, source, ledger, sealed=sealed)
        except Ended as ended:
            verdict = ended.verdict
        finally:
            seat.close()
        return replace(verdict, phases=tuple(ledger), fence=seat.fence)

    def _try(self, seat: Seat, source: str, ledger: list[Phase], *, sealed: bool) -> AnyVerdict:
        with _phase(ledger, "load"):
            seat.greet()
            seat.map(self._guests, self.layout, self._slots)
            loaded = self._load(seat, source)
            oddities = self._oddities(loaded)
        with _phase(ledger, "check"):
            checks = self._check(seat, every=sealed or self.kind == "cuda")
        with _phase(ledger, "timing"):
            found = self._sample(seat, PACES[self.kind])
            call = self._time_single(seat)
        return self._weigh(found, checks, oddities, call=call, sealed=sealed)

    def _oddities(self, loaded: Any) -> list[Suspicion]:  # noqa: ANN401 - a wire.Loaded
        if loaded.state != "seeded" or not any(True for _ in self.reference.model.parameters()):
            return []
        self.reference.reseed_as_constructed()
        return [
            Suspicion(
                kind="parameters",
                evidence=f"{loaded.detail}; judged with the values its own constructor drew",
            )
        ]

    # --- correctness ----------------------------------------------------------------------------

    def _check(self, seat: Seat, *, every: bool) -> Checks:
        """Check outputs under fresh inputs of several kinds, in an order nobody can foresee."""
        stresses = [case for case in self._usable if case is not cases.NOMINAL]
        random.SystemRandom().shuffle(stresses)
        if not every and self.layout.slot_bytes > 32 << 20:
            stresses = stresses[:3]
        plan = [cases.NOMINAL, cases.NOMINAL, *stresses]
        random.SystemRandom().shuffle(plan)
        worst_case, worst, allowed = "nominal", -1.0, 0.0
        for case in plan:
            error, limit = self._check_case(seat, case)
            if limit and error / limit > (worst / allowed if allowed else -1.0):
                worst_case, worst, allowed = case.name, error, limit
        return Checks(
            cases=len(plan),
            calls=len(plan),
            worst_case=worst_case,
            worst_error=max(worst, 0.0),
            allowed_error=allowed,
        )

    def _check_case(self, seat: Seat, case: Case) -> Any:  # noqa: ANN401 - two floats
        drawn = self._draw_case(case)
        if drawn is None:
            return 0.0, 0.0
        tensors, exact, limits = drawn
        slot = secrets.randbelow(self._slots)
        for target, tensor in zip(seat.inputs(slot), tensors, strict=True):
            target.copy_(tensor)
        self._poison(seat, slot)
        seat.call((slot,), during="check")
        findings = [
            tolerance.compare(got, want, limit)
            for got, want, limit in zip(seat.outputs(slot), exact, limits, strict=True)
        ]
        wrong = tolerance.first_wrong(findings)
        if wrong is not None:
            raise Ended(self._mismatch(case.name, wrong, findings[wrong]))
        self._inputs_intact(seat, slot, tensors)
        return findings[0].error, findings[0].allowed

    def _mismatch(self, case: str, output: int, finding: tolerance.Finding) -> Mismatch:
        which = f"output {output}: " if len(self.layout.outputs) > 1 else ""
        return Mismatch(
            case=case,
            reason=f"{which}{finding.reason} ({case} inputs)",
            error=finding.error,
            allowed=finding.allowed,
            where=finding.where,
            map=finding.map,
        )

    def _poison(self, seat: Seat, slot: int) -> None:
        """Fill the outputs with NaN patterns: what is not written does not pass by luck."""
        for spec, target in zip(self.layout.outputs, seat.outputs(slot), strict=True):
            _ = spec
            if target.numel():
                target.view(-1).view(torch.uint8).fill_(0xFF)
        self._settle()

    def _inputs_intact(self, seat: Seat, slot: int, tensors: list[torch.Tensor]) -> None:
        for number, (left, given) in enumerate(zip(seat.inputs(slot), tensors, strict=True)):
            if number in self.reference.mutable:
                continue
            if not torch.equal(
                left.view(-1).view(torch.uint8), given.reshape(-1).view(torch.uint8)
            ):
                raise Ended(
                    Disqualified(
                        rule="inputs are read-only",
                        evidence=f"input {number} was changed by the call, and the problem does "
                        "not declare it in MUTABLE_INPUTS",
                    )
                )

    # --- timing ---------------------------------------------------------------------------------

    def _sample(self, guest: Seat | None, pace: Pace) -> dict[str, _Samples]:
        """Take interleaved blocks until the interval is narrow; check every timed output."""
        seats = dict(self._witnesses)
        if guest is not None:
            seats["candidate"] = guest
        found = {role: _Samples() for role in seats}
        watched = "candidate" if guest is not None else "eager"
        began = time.monotonic()
        for number in range(pace.most_blocks):
            self._block(seats, found)
            samples = _flat(found[watched].claims)
            enough = number + 1 >= pace.blocks
            late = time.monotonic() - began > pace.seconds
            if enough and (late or statistics.narrow_enough(samples, within=pace.within)):
                break
        return found

    def _block(self, seats: dict[str, Seat], found: dict[str, _Samples]) -> None:
        # Interleaved, because clocks drift: timing all of A and then all of B measures the weather.
        slots = random.SystemRandom().sample(range(self._slots), self._per_block)
        drawn = [self.reference.draw(seed=_seed()) for _ in slots]
        expected = [self.reference.answer(arguments) for arguments in drawn]
        order = list(seats)
        random.SystemRandom().shuffle(order)
        self._fill(next(iter(self._witnesses.values())), slots, drawn)
        if "candidate" in seats:
            self._fill(seats["candidate"], slots, drawn)
            for slot in slots:
                self._poison(seats["candidate"], slot)
        probe = self._probe()
        for role in order:
            self._cool()
            block = seats[role].time(tuple(slots), flush_bytes=self._flush_bytes(), probe=probe)
            found[role].add(block.wall_us, block.claims_us)
            if role == "candidate":
                self._verify(seats[role], slots, drawn, expected)

    def _flush_bytes(self) -> int:
        if self.kind == "cpu":
            return 0
        return 2 * int(torch.cuda.get_device_properties(self.device).L2_cache_size)

    def _cool(self) -> None:
        """Write twice the L2 from the judge's own context, where no candidate can skip it."""
        if self.kind == "cuda":
            if not hasattr(self, "_cold"):
                self._cold = torch.empty(self._flush_bytes(), dtype=torch.uint8, device=self.device)
            self._cold.zero_()
            torch.cuda.synchronize()

    def _probe(self) -> torch.Tensor:
        spec = self.layout.outputs[0]
        size = min(1 << 20, getattr(torch, spec.dtype).itemsize * max(1, _count(spec.shape)))
        return torch.empty(size, dtype=torch.uint8, device=self.device)

    def _verify(
        self, seat: Seat, slots: list[int], drawn: list[Any], expected: list[list[torch.Tensor]]
    ) -> None:
        for slot, arguments, wanted in zip(slots, drawn, expected, strict=True):
            tensors = self.reference.tensors(arguments)
            self._inputs_intact(seat, slot, tensors)
            got = seat.outputs(slot)
            if all(_near(g, w) for g, w in zip(got, wanted, strict=True)):
                continue
            exact = self.reference.oracle(arguments) or wanted
            for number, (g, n, e) in enumerate(zip(got, wanted, exact, strict=True)):
                limit = tolerance.limits(n, e, given=self.reference.tolerance)
                finding = tolerance.compare(g, e, limit)
                if finding.reason is not None:
                    raise Ended(self._mismatch("timed", number, finding))

    def _time_single(self, seat: Seat) -> Timing | None:
        if self.kind == "cpu":
            return None
        slots = tuple(range(min(self._slots, 12)))
        return statistics.timing(seat.time_each(slots))

    # --- the verdict ----------------------------------------------------------------------------

    def _weigh(
        self,
        found: dict[str, _Samples],
        checks: Checks,
        oddities: list[Suspicion],
        *,
        call: Timing | None,
        sealed: bool,
    ) -> AnyVerdict:
        mine, eager, compiled = found["candidate"], found["eager"], found.get("compiled")
        timing = statistics.timing(_flat(mine.claims))
        clock = self._judge_clock(mine, found.get("null"))
        if (dispute := self._dispute(timing, clock)) is not None:
            return dispute
        if self.bound_us is not None and timing.median_us < self.bound_us and not self.work.caveats:
            return Disqualified(
                rule="faster than the device allows",
                evidence=f"{timing.median_us:.1f} µs per call; moving {self.work.bytes_needed:,} "
                f"bytes and doing the operations takes at least {self.bound_us:.1f} µs on "
                f"{self.ceilings.device}",
            )
        vs_eager = statistics.ratio(eager.claims, mine.claims)
        vs_compiled = statistics.ratio(compiled.claims, mine.claims) if compiled else None
        speedup = min((r for r in (vs_eager, vs_compiled) if r is not None), key=lambda r: r.value)
        passed = Passed(
            timing=timing,
            judge_clock=clock,
            eager=statistics.timing(_flat(eager.claims)),
            compiled=statistics.timing(_flat(compiled.claims)) if compiled else None,
            speedup=speedup,
            vs_eager=vs_eager,
            vs_compiled=vs_compiled,
            checks=checks,
            call=call,
            sealed=sealed,
        )
        return replace(passed, suspicions=tuple([*oddities, *self._suspicions(passed)]))

    def _judge_clock(self, mine: _Samples, null: _Samples | None) -> Timing:
        """The judge's own clock per call, less what a candidate that does nothing costs."""
        blank = null.walls if null is not None else [0.0] * len(mine.walls)
        per_call = [
            (wall - idle) / len(claims)
            for wall, idle, claims in zip(mine.walls, blank, mine.claims, strict=True)
        ]
        return statistics.timing(per_call)

    def _dispute(self, claim: Timing, clock: Timing) -> Disqualified | None:
        """A claim well below what the judge saw pass is no measurement."""
        spread = (clock.high_us - clock.low_us) / 2
        allowed = claim.median_us * (1 + CLOCKS_AGREE[self.kind]) + CLOCK_SLACK_US[self.kind]
        if clock.median_us - spread <= allowed:
            return None
        return Disqualified(
            rule="the clocks disagree",
            evidence=f"the candidate's process reports {claim.median_us:.1f} µs per call, the "
            f"judge's clock {clock.median_us:.1f} µs [{clock.low_us:.1f}, {clock.high_us:.1f}] "
            f"over {claim.samples} calls",
        )

    def _suspicions(self, passed: Passed) -> Iterator[Suspicion]:
        median = passed.timing.median_us
        if self.fitness.weak:
            yield Suspicion(
                kind="weak problem",
                evidence=f"an impostor passes here ({', '.join(self.fitness.accepted)}), so no "
                "speedup on this problem means anything",
            )
        if self.floor_us is not None and median < self.floor_us and self.kind == "cuda":
            yield Suspicion(
                kind="below the measured floor",
                evidence=f"{median:.1f} µs; {self.work.bytes_needed:,} bytes at the measured copy "
                f"bandwidth take {self.floor_us:.1f} µs",
            )
        if passed.vs_compiled is not None and passed.vs_compiled.value > INCREDIBLE:
            yield Suspicion(
                kind="incredible",
                evidence=f"{passed.vs_compiled.value:.2f}x torch.compile; over {INCREDIBLE:g}x is "
                f"more often a bug than a breakthrough (judge's clock {passed.judge_clock.median_us:.1f} µs, "
                f"{passed.checks.calls} checked calls, {passed.timing.samples} timed and checked)",
            )

    # --- profiling ------------------------------------------------------------------------------

    def trace(self, channel: Channel, source: str) -> Traced:
        """Have a worker run torch.profiler around a call; return what it claims to have seen."""
        seat = Seat(channel, "candidate", calls_deadline_s=180.0)
        try:
            seat.greet()
            seat.map(self._guests, self.layout, self._slots)
            self._load(seat, source)
            self._fill(seat, (0,), [self.reference.draw(seed=_seed())])
            seat.call((0,), during="profile")
            return seat.trace(0)
        finally:
            seat.close()

    def call_once(self, channel: Channel, source: str, role: str) -> None:
        """Have a worker (under Nsight Compute, say) call once to warm up and once in a named range."""
        seat = Seat(channel, role, calls_deadline_s=180.0)
        try:
            seat.greet()
            seat.map(self._guests, self.layout, self._slots)
            self._load(seat, source)
            self._fill(seat, (0, 1), [self.reference.draw(seed=_seed()) for _ in range(2)])
            seat.call((0,), during="profile")
            seat.call((1,), during="profile", nvtx="candidate")
        finally:
            seat.close()


class _Samples:
    """Blocks of one role: the judge's wall per block and the claims per call."""

    def __init__(self) -> None:
        self.walls: list[float] = []
        self.claims: list[tuple[float, ...]] = []

    def add(self, wall_us: float, claims_us: tuple[float, ...]) -> None:
        self.walls.append(wall_us)
        self.claims.append(claims_us)


@contextmanager
def _phase(ledger: list[Phase], name: str) -> Iterator[None]:
    """Enter the seconds of a phase in the ledger, also when it ends the trial."""
    began = time.monotonic()
    try:
        yield
    finally:
        ledger.append(Phase(name=name, seconds=time.monotonic() - began))


def _seed() -> int:
    """Draw a seed nobody can foresee."""
    return secrets.randbits(48)


def _flat(blocks: list[tuple[float, ...]]) -> list[float]:
    return [sample for block in blocks for sample in block]


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count


def _all_right(got: list[torch.Tensor], exact: list[torch.Tensor], limits: list[Limits]) -> bool:
    return all(
        tolerance.compare(g, e, limit, detail=False).reason is None
        for g, e, limit in zip(got, exact, limits, strict=True)
    )


def _near(got: torch.Tensor, native: torch.Tensor) -> bool:
    """A quick look at every element: near enough to the reference at its own precision?

    Tighter than the limits, so that what it passes is right and what it does not is looked at.
    """
    if got.numel() == 0:
        return True
    if not got.is_floating_point():
        return torch.equal(got, native)
    floor = tolerance.NORM_FLOOR.get(str(native.dtype).removeprefix("torch."), 0.0)
    off = (got - native).float() if got.dtype != torch.float64 else got - native
    size = torch.linalg.vector_norm(native.float() if native.dtype != torch.float64 else native)
    distance = torch.linalg.vector_norm(off)
    typical = size / native.numel() ** 0.5
    return bool(distance <= floor * size) and bool(off.abs().max() <= 8 * floor * typical)
