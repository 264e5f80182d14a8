"""One worker as the judge sees it: an arena, a channel, a leash, and deadlines.

It owns every exchange with a worker and turns what goes wrong in one into a verdict; what is
exchanged is decided by ``examiner``. A worker's words are claims, only bytes in the arena count.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from refine_agent import arena as arenas
from refine_agent import wire
from refine_agent.judge.glimpse import Glimpse, glimpses
from refine_agent.judge.leash import Unstoppable
from refine_agent.records import Crashed, Disqualified, Mismatch, TimedOut

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from refine_agent.arena import Arena
    from refine_agent.judge.glimpse import Memory
    from refine_agent.judge.lead import Lead
    from refine_agent.judge.leash import Bearing, Leash
    from refine_agent.records import AnyVerdict
    from refine_agent.wire import Channel, Layout

# What a worker says is quoted in verdicts and prompts: more than this says nothing more.
MAX_ERROR_CHARS, MAX_TRACE_CHARS, MAX_ROWS_BYTES = 2000, 6000, 2 << 20
# Threads that wait for work take 31 to 51 µs (the 99th percentile) to stop; what a stop took of the
# processor beyond this was done in it.
STOPPING_US = 60.0
# A thread that is told to stop has microseconds of the kernel's to go. On an H200 whose host was at
# work no stopped process used any in a run of two turns; a driver's threads are given more room.
STILL_S = {"cpu": 60e-6, "cuda": 250e-6}
# A thread may be a little late to stop on a busy machine, as honest ones were in 2 of 250 trials;
# whoever gains by it is so again and again, or by much.
LATE_STOPS, MUCH = 3, 10.0
START_DEADLINE_S, MAP_DEADLINE_S, TRACE_DEADLINE_S = 60.0, 120.0, 120.0


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """How long a candidate may take before it counts as hanging, and how long it is timed."""

    load_s: float = 600.0  # the compiler runs within it, under a deadline of its own
    calls_s: float = 60.0
    # Of a whole trial, what is waited for the candidate alone: the rest of the bench's patience is
    # for what the witnesses and the judge take.
    trial_s: float = 1200.0
    sampling_s: float | None = None  # sample no longer; None: as long as the device's pace says
    unsealed_sampling_s: float | None = None  # the same, but for a sealing


DEADLINES = Deadlines()
# The next turn can do with a wider interval, and the engineer waits; a sealing is what is reported.
# On two cores that others share 2.5 s leave a draw known to some 0.07, 6 s to 0.05. GPUs need less.
IN_TURNS = Deadlines(unsealed_sampling_s=2.5)


class Ended(Exception):  # noqa: N818 - it carries a finding, not an error
    """The candidate's trial is over early; the verdict says why."""

    def __init__(self, verdict: AnyVerdict) -> None:
        super().__init__(type(verdict).__name__)
        self.verdict = verdict


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one block of calls: the judge's own clock, and the worker's claims.

    A block is called, and its results are delivered in a second step on a clock of its own.
    """

    wall_us: float
    claims_us: tuple[float, ...]
    hidden: tuple[bool, ...] = ()  # per call, whether its launch was hidden; the worker's claim
    settling_us: float = 0.0  # what the judge's own next kernel took: a GPU may still be at work
    lent: tuple[tuple[int, ...], ...] = ()  # per call and output: the input it is, or -1
    places: tuple[tuple[int, ...], ...] = ()  # per call and output: where its bytes lie, or 0
    delivery_us: float = 0.0
    # Until the device was free, seen by the judge's own kernel and not by an answer; behind a lead.
    busy_us: float | None = None
    delivery_busy_us: float | None = None
    prints: tuple[int, ...] = ()  # of the outputs when they were delivered, where asked for
    glimpses: tuple[Glimpse, ...] = ()  # of the results before that, where they could be seen


class Unready(Exception):  # noqa: N818 - it carries a finding, not an error
    """A worker failed before a line of a candidate was read, which is the machine's fault."""

    def __init__(self, verdict: AnyVerdict) -> None:
        said = getattr(verdict, "reason", "") or "it did not answer in time"
        super().__init__(
            "a process could not be given its inputs' memory, before a candidate's code was in "
            f"it: {said.splitlines()[0][:200]}; end what else uses that memory"
        )


class Seat:
    """A worker in the dock (or a witness: eager, compiled, null)."""

    def __init__(  # noqa: PLR0913 - a keyword for each thing that only a candidate's has
        self,
        channel: Channel,
        role: str,
        *,
        deadlines: Deadlines = DEADLINES,
        leash: Leash | None = None,
        takes_prints: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.role = role
        self.fence: str | None = None
        self.arena: Arena | None = None
        self.layout: Layout | None = None
        self.copies_results = False  # within the time of the call: its results do not last
        self._channel = channel
        self._deadlines = deadlines
        self._leash = leash
        self._takes_prints = takes_prints
        self._memory = memory if memory is not None and memory.readable else None
        self._bearings: dict[int, Bearing] = {}
        self._late_stops = 0
        self._left_s = deadlines.trial_s

    def greet(self, *, within_s: float = START_DEADLINE_S) -> None:
        """Hear which fence the worker closed around itself."""
        answer = self._hear("start", within_s)
        if isinstance(answer, wire.Ready):
            self.fence = answer.note

    def map(
        self, arena: Arena, layout: Layout, slots: int, *, lax: bool = False, dense: bool = True
    ) -> None:
        """Hand the worker the arena.

        Raises:
            Unready: it could not take it; nobody's code but ours has run in it so far.
        """
        self.arena, self.layout = arena, layout
        handle = arena.descriptor()
        order = wire.Map(
            device=arena.device,
            total_bytes=arena.total_bytes,
            slots=slots,
            layout=layout,
            lax=lax,
            dense=dense,
        )
        try:
            self._tell(order, "map", fds=(handle,))
            self._expect(wire.Ready, "map", MAP_DEADLINE_S)
        except Ended as ended:
            raise Unready(ended.verdict) from None
        finally:
            if arena.device != "cpu":
                os.close(handle)

    def load(
        self, source: str, state: bytes, *, device: str, seed: int, precision: str
    ) -> wire.Loaded:
        """Have the worker run the source and construct its module."""
        handle = os.memfd_create("state", os.MFD_CLOEXEC)
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(state)
        os.lseek(handle, 0, os.SEEK_SET)
        role: Any = self.role  # a literal of wire.Load
        order = wire.Load(source=source, role=role, device=device, seed=seed, precision=precision)
        try:
            self._tell(order, "load", fds=(handle,))
        finally:
            os.close(handle)
        answer = self._expect(wire.Loaded, "load", self._deadlines.load_s)
        assert isinstance(answer, wire.Loaded)  # noqa: S101 - _expect saw to it
        return answer

    def call(
        self,
        slots: tuple[int, ...],
        *,
        during: str,
        nvtx: str | None = None,
        lead: Lead | None = None,
        looks: bool = False,
    ) -> Block:
        """Have the worker call its module on some slots and keep the results, on the judge's clock.

        The clock starts before the bell, or with a lead once the device is free, and stops at the
        answer; then every process of the worker is stopped, so that nothing is computed ahead,
        finished late or written after it.
        """
        order = wire.Call(slots=slots, nvtx=nvtx, copied=self.copies_results)
        began = time.perf_counter_ns()
        if lead is not None:
            lead.begin()
        self._tell(order, during)
        self._go()
        if lead is not None:
            began = lead.end(began)
        busy_us = self._busy_us(began) if looks else None
        answer = self._expect(wire.Done, during, self._deadlines.calls_s)
        answered = time.perf_counter_ns()
        self._touch_device()
        settled = time.perf_counter_ns()
        self.stop()
        ran_on_us = self._ran_on_us()
        assert isinstance(answer, wire.Done)  # noqa: S101 - _expect saw to it
        if not answer.fits:
            raise Ended(self._misshapen(answer))
        if not self._is_of(answer, len(slots)):
            raise Ended(Crashed(during=during, reason="the worker's report is not of its calls"))
        return Block(
            wall_us=(answered - began) / 1e3 + ran_on_us,
            claims_us=answer.device_us,
            hidden=answer.hidden,
            settling_us=(settled - answered) / 1e3,
            lent=answer.lent,
            places=answer.places,
            busy_us=busy_us,
        )

    def deliver(
        self,
        slots: tuple[int, ...],
        block: Block,
        *,
        during: str,
        lead: Lead | None = None,
        looks: bool = False,
    ) -> Block:
        """Have the worker put the results of the calls it last made into their slots.

        Whatever it does to that end is on the clock of the delivery, until the device is free; with
        a lead, from when the device is: what is left is copies, and no host that was late. Where
        its memory can be read, it is looked at first, while the worker is stopped.
        """
        seen = tuple(self._glimpses(slots, block))
        began = time.perf_counter_ns()
        if lead is not None:
            lead.begin()
        self._tell(wire.Deliver(slots=slots), during)
        self._go()
        if lead is not None:
            began = lead.end(began)
        busy_us = self._busy_us(began) if looks else None
        self._expect(wire.Delivered, during, self._deadlines.calls_s)
        self._touch_device()
        took_us = (time.perf_counter_ns() - began) / 1e3
        prints = self.prints(slots)
        self.stop()
        return replace(
            block,
            glimpses=seen,
            delivery_us=took_us + self._ran_on_us(),
            delivery_busy_us=busy_us,
            prints=prints,
        )

    def _glimpses(self, slots: tuple[int, ...], block: Block) -> Iterator[Glimpse]:
        if self._memory is None:
            return
        assert self.layout is not None  # noqa: S101 - mapped before it is called
        wanted = len(self.layout.outputs)
        lent = block.lent or ((wire.NOT_LENT,) * wanted,) * len(slots)
        told = (*block.places, *lent)
        if len(block.places) != len(slots) or any(len(each) != wanted for each in told):
            raise Ended(_not_there("its process does not say where its results lie"))
        for slot, places, inputs in zip(slots, block.places, lent, strict=True):
            outputs = self.outputs(slot)
            owned = (number == wire.NOT_LENT for number in inputs)
            for place, own, output in zip(places, owned, outputs, strict=True):
                if bool(place) != own and output.nbytes:
                    raise Ended(_not_there("its process does not say where a result lies"))
            yield from glimpses(self._memory, places, outputs, slot=slot)

    def must_have_been_there(self, block: Block) -> None:
        """Hold what was delivered against what was seen before.

        Raises:
            Ended: it was not there when the worker was stopped, so it was computed on no clock.
        """
        delivered = {slot: self.outputs(slot) for slot in {each.slot for each in block.glimpses}}
        if not all(each.is_of(delivered[each.slot][each.output]) for each in block.glimpses):
            raise Ended(
                _not_there("what was delivered did not lie there when its process was stopped")
            )

    def _busy_us(self, began_ns: int) -> float:
        """Return the microseconds from then to when the judge's own kernel gets the device."""
        self._touch_device()
        return (time.perf_counter_ns() - began_ns) / 1e3

    def _ran_on_us(self) -> float:
        """Return what a system call that outlasted the stop took of the processor, on a CPU.

        It copied inputs, say; microseconds are what threads take that wait for work.
        """
        if self._leash is None or self.on_gpu:
            return 0.0
        return max(0.0, self._leash.ran_on_s * 1e6 - STOPPING_US)

    def _touch_device(self) -> None:
        """Wait for the smallest of kernels: it waits for whatever a worker left on the device."""
        if not self.on_gpu:
            return
        assert self.arena is not None  # noqa: S101 - on_gpu saw to it
        import torch  # noqa: PLC0415 - the bench reads this module's records without torch

        torch.zeros(1, device=self.arena.device)
        torch.cuda.synchronize(self.arena.device)

    def prints(self, slots: tuple[int, ...]) -> tuple[int, ...]:
        """Sum every output's bytes: on a GPU, work in flight outlasts the stop of its process."""
        if not self._takes_prints:
            return ()
        sums = [_sum_of_bytes(out) for slot in slots for out in self.outputs(slot) if out.numel()]
        # Every sum is under way before the first is waited for.
        return tuple(int(value) for value in sums)

    def trace(self, slot: int) -> wire.Traced:
        """Have the worker run torch.profiler around a call; return what it claims to have seen."""
        self._tell(wire.Trace(slot=slot), "profile")
        self._go()
        answer = self._expect(wire.Traced, "profile", TRACE_DEADLINE_S)
        assert isinstance(answer, wire.Traced)  # noqa: S101 - _expect saw to it
        seconds = (answer.cpu_seconds, answer.wall_seconds)
        if len(answer.rows) > MAX_ROWS_BYTES or not all(0 <= s < math.inf for s in seconds):
            raise Ended(Crashed(during="profile", reason="the worker's trace is no honest one"))
        return answer

    def stop(self) -> None:
        """Stop the worker until its next turn."""
        if self._leash is None:
            return
        try:
            with self._on_its_time():
                self._leash.stop()
        except Unstoppable as why:
            raise Ended(Crashed(during="stop", reason=str(why))) from None

    def outputs(self, slot: int) -> list[torch.Tensor]:
        """Return the outputs that lie in a slot, as the worker left them."""
        assert self.arena is not None  # noqa: S101 - mapped before it is called
        assert self.layout is not None  # noqa: S101 - likewise
        return arenas.outputs(self.arena, self.layout, slot)

    def inputs(self, slot: int) -> list[torch.Tensor]:
        """Return the inputs that lie in a slot."""
        assert self.arena is not None  # noqa: S101 - mapped before it is called
        assert self.layout is not None  # noqa: S101 - likewise
        return arenas.inputs(self.arena, self.layout, slot)

    def guards(self, slot: int) -> list[torch.Tensor]:
        """Return the bytes between and after a slot's tensors."""
        assert self.arena is not None  # noqa: S101 - mapped before it is called
        assert self.layout is not None  # noqa: S101 - likewise
        return arenas.guards(self.arena, self.layout, slot)

    def busy_part(self, seconds: float) -> float:
        """Let the worker go on with nothing to do; return which part of a core it used."""
        if self._leash is None:
            return 0.0
        self._go()
        before = self._leash.processor_seconds()
        time.sleep(seconds)
        used = self._leash.processor_seconds() - before
        self.stop()
        return used / seconds

    def remember_bearings(self) -> None:
        """Take down how the worker's threads are scheduled."""
        if self._leash is not None:
            self._bearings = self._leash.bearings()

    def moved_threads(self) -> int:
        """Count the threads that are scheduled in another way than they were."""
        if self._leash is None:
            return 0
        now = self._leash.bearings()
        return sum(now[task] != was for task, was in self._bearings.items() if task in now)

    def restore_bearings(self) -> None:
        """Undo what a candidate did to how a witness is scheduled.

        Raises:
            RuntimeError: what was done can only be undone by root.
        """
        if self._leash is None or not self.moved_threads():
            return
        self._leash.restore(self._bearings)
        if self.moved_threads():
            raise RuntimeError(f"the {self.role} baseline was slowed down by another process")

    def close(self) -> None:
        """Let the worker go; the bench sees to its end."""
        if self._memory is not None:
            self._memory.close()
        if self._leash is not None:
            self._leash.close()
        with contextlib.suppress(wire.Broken):
            self._channel.send(wire.Bye())
        self._channel.close()

    # --- exchanges ------------------------------------------------------------------------------

    @property
    def on_gpu(self) -> bool:
        """Whether inputs and outputs lie in a GPU's memory."""
        return self.arena is not None and self.arena.device != "cpu"

    def _go(self) -> None:
        if self._leash is None:
            return
        self._must_have_stood_still(self._leash)
        try:
            self._leash.go()
        except Unstoppable as why:
            raise Ended(Crashed(during="stop", reason=str(why))) from None

    def _must_have_stood_still(self, leash: Leash) -> None:
        ran_s = leash.out_of_turn_s()
        still_s = STILL_S["cuda" if self.on_gpu else "cpu"]
        if ran_s <= still_s or self.role != "candidate":
            return
        self._late_stops += 1
        if self._late_stops >= LATE_STOPS or ran_s > MUCH * still_s:
            raise Ended(
                Disqualified(
                    rule="works out of turn",
                    evidence="a process of the candidate's was stopped, and used "
                    f"{ran_s * 1e6:,.0f} µs of a core all the same",
                )
            )

    def _is_of(self, answer: wire.Done, calls: int) -> bool:
        """Whether a report is of so many calls, and what it says can be."""
        assert self.layout is not None  # noqa: S101 - mapped before it is called
        claims = answer.device_us
        if len(claims) != calls or not all(0 < t <= wire.MOST_US for t in claims):
            return False
        inputs, outputs = self.layout.inputs, self.layout.outputs
        lent = [pair for numbers in answer.lent for pair in zip(numbers, outputs, strict=False)]
        return len(answer.lent) in (0, calls) and all(
            number == wire.NOT_LENT or (0 <= number < len(inputs) and inputs[number].fills(spec))
            for number, spec in lent
        )

    def _misshapen(self, answer: wire.Done) -> Mismatch:
        assert self.layout is not None  # noqa: S101 - mapped before it is called
        wanted = wire.described(self.layout.results, self.layout.outputs)
        got = ", ".join(shape[:400] for shape in answer.shapes[:8]) or "nothing"
        return Mismatch(case="shapes", reason=f"returned {got}; the reference returns {wanted}")

    def _tell(self, order: wire.Wire, during: str, *, fds: tuple[int, ...] = ()) -> None:
        try:
            self._channel.send(order, fds=fds)
        except wire.Broken as why:
            raise Ended(Crashed(during=during, reason=str(why))) from None

    def _expect(self, kind: type[wire.Wire], during: str, seconds: float) -> wire.Wire:
        answer = self._hear(during, seconds)
        if isinstance(answer, wire.Raised):
            error, trace = answer.error[:MAX_ERROR_CHARS], answer.trace[-MAX_TRACE_CHARS:]
            raise Ended(Crashed(during=during, reason=error, log=trace))
        if not isinstance(answer, kind):
            raise Ended(Crashed(during=during, reason="the worker broke the protocol"))
        return answer

    def _hear(self, during: str, seconds: float) -> wire.Wire:
        is_last = self._left_s < seconds
        try:
            with self._on_its_time():
                answer: wire.Wire = self._channel.receive(deadline_s=min(seconds, self._left_s))
        except wire.Late:
            took_s = self._deadlines.trial_s if is_last else seconds
            raise Ended(TimedOut(during=during, seconds=took_s)) from None
        except wire.Broken as why:
            raise Ended(Crashed(during=during, reason=str(why))) from None
        return answer

    @contextlib.contextmanager
    def _on_its_time(self) -> Iterator[None]:
        """Take what is waited for the worker off what it has left of its trial."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._left_s -= time.monotonic() - began


def _not_there(evidence: str) -> Disqualified:
    return Disqualified(rule="work in the delivery", evidence=evidence)


def _sum_of_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """Sum a tensor's bytes eight at a time, wrapping around; nothing is waited for."""
    import torch  # noqa: PLC0415 - the bench reads this module's records without torch

    flat = tensor.view(-1).view(torch.uint8)
    whole = flat.numel() // 8 * 8
    return flat[:whole].view(torch.int64).sum() + flat[whole:].long().sum()
