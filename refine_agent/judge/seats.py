"""One worker as the judge sees it: an arena, a channel, and deadlines.

It owns every exchange with a worker and turns what goes wrong in one into a verdict; what is
exchanged is decided by ``trial``. A worker's words are claims, and only bytes in the arena count.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from refine_agent import arena as arenas
from refine_agent import wire
from refine_agent.records import Crashed, Mismatch, TimedOut

if TYPE_CHECKING:
    import torch

    from refine_agent.arena import Arena
    from refine_agent.records import AnyVerdict
    from refine_agent.wire import Channel, Layout

LOAD_DEADLINE_S = 600.0  # the compiler runs within it, under a deadline of its own
CALL_DEADLINE_S = 60.0


class Ended(Exception):  # noqa: N818 - it carries a finding, not an error
    """The candidate's trial is over early; the verdict says why."""

    def __init__(self, verdict: AnyVerdict) -> None:
        super().__init__(type(verdict).__name__)
        self.verdict = verdict


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one block of calls: the judge's own clock, and the worker's claims."""

    wall_us: float
    claims_us: tuple[float, ...]


class Seat:
    """A worker in the dock (or a witness: eager, compiled, null)."""

    def __init__(
        self, channel: Channel, role: str, *, calls_deadline_s: float = CALL_DEADLINE_S
    ) -> None:
        self.role = role
        self.fence: str | None = None
        self._channel = channel
        self._deadline_s = calls_deadline_s
        self.arena: Arena | None = None
        self.layout: Layout | None = None

    def greet(self) -> None:
        """Hear which fence the worker closed around itself."""
        answer = self._hear("start", 60.0)
        if isinstance(answer, wire.Ready):
            self.fence = answer.note

    def map(self, arena: Arena, layout: Layout, slots: int) -> None:
        """Hand the worker the arena."""
        self.arena, self.layout = arena, layout
        handle = arena.descriptor()
        self._channel.send(
            wire.Map(
                device=arena.device, total_bytes=arena.total_bytes, slots=slots, layout=layout
            ),
            fds=(handle,),
        )
        if arena.device != "cpu":
            os.close(handle)
        self._expect(wire.Ready, "map", 120.0)

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
            self._channel.send(order, fds=(handle,))
        except wire.Broken as why:
            raise Ended(Crashed(during="load", reason=str(why))) from None
        finally:
            os.close(handle)
        answer = self._expect(wire.Loaded, "load", LOAD_DEADLINE_S)
        assert isinstance(answer, wire.Loaded)  # noqa: S101 - _expect saw to it
        return answer

    def call(self, slots: tuple[int, ...], *, during: str, nvtx: str | None = None) -> wire.Done:
        """Have the worker call its module on some slots, untimed."""
        return self._done(wire.Call(slots=slots, nvtx=nvtx), during)

    def time(
        self, slots: tuple[int, ...], *, flush_bytes: int, probe: torch.Tensor | None
    ) -> Block:
        """Have the worker call its module on some slots, on the judge's clock.

        The clock starts before the bell and stops when the judge holds a copy of the last slot's
        outputs, so that work put off until after the answer is on the clock as well.
        """
        began = time.perf_counter_ns()
        done = self._done(wire.Call(slots=slots, timed=True, flush_bytes=flush_bytes), "timing")
        if probe is not None:
            self._hold(slots[-1], probe)
        wall = (time.perf_counter_ns() - began) / 1e3
        if len(done.device_us) != len(slots) or not all(t > 0 for t in done.device_us):
            raise Ended(Crashed(during="timing", reason="the worker's report is not of its calls"))
        return Block(wall_us=wall, claims_us=done.device_us)

    def time_each(self, slots: tuple[int, ...]) -> tuple[float, ...]:
        """Have the worker time single calls, launch latency and synchronisation included."""
        return self._done(
            wire.Call(slots=slots, timed=True, synchronise_each=True), "timing"
        ).device_us

    def trace(self, slot: int) -> wire.Traced:
        """Have the worker run torch.profiler around a call; return what it claims to have seen."""
        self._channel.send(wire.Trace(slot=slot))
        answer = self._expect(wire.Traced, "profile", 120.0)
        assert isinstance(answer, wire.Traced)  # noqa: S101 - _expect saw to it
        return answer

    def _hold(self, slot: int, probe: torch.Tensor) -> None:
        assert self.arena is not None  # noqa: S101 - mapped before it is timed
        assert self.layout is not None  # noqa: S101 - likewise
        first = self.layout.outputs[0].offset + slot * self.layout.slot_bytes
        probe.copy_(self.arena.bytes(first, probe.numel()))
        if probe.is_cuda:
            import torch  # noqa: PLC0415 - only on a device

            torch.cuda.synchronize()

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

    def close(self) -> None:
        """Let the worker go; the bench sees to its end."""
        try:
            self._channel.send(wire.Bye())
        except wire.Broken:
            pass
        self._channel.close()

    # --- exchanges ------------------------------------------------------------------------------

    def _done(self, order: wire.Call, during: str) -> wire.Done:
        try:
            self._channel.send(order)
        except wire.Broken as why:
            raise Ended(Crashed(during=during, reason=str(why))) from None
        answer = self._expect(wire.Done, during, self._deadline_s)
        assert isinstance(answer, wire.Done)  # noqa: S101 - _expect saw to it
        if not answer.fits:
            raise Ended(self._misshapen(answer))
        return answer

    def _misshapen(self, answer: wire.Done) -> Mismatch:
        assert self.layout is not None  # noqa: S101 - mapped before it is called
        wanted = ", ".join(map(str, self.layout.outputs))
        got = ", ".join(shape[:80] for shape in answer.shapes[:8]) or "nothing"
        return Mismatch(case="shapes", reason=f"returned {got}; the reference returns {wanted}")

    def _expect(self, kind: type[wire.Wire], during: str, seconds: float) -> wire.Wire:
        answer = self._hear(during, seconds)
        if isinstance(answer, wire.Raised):
            raise Ended(Crashed(during=during, reason=answer.error, log=answer.trace))
        if not isinstance(answer, kind):
            raise Ended(Crashed(during=during, reason="the worker broke the protocol"))
        return answer

    def _hear(self, during: str, seconds: float) -> wire.Wire:
        try:
            answer: wire.Wire = self._channel.receive(deadline_s=seconds)
        except wire.Late:
            raise Ended(TimedOut(during=during, seconds=seconds)) from None
        except wire.Broken as why:
            raise Ended(Crashed(during=during, reason=str(why))) from None
        return answer
