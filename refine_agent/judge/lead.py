"""The lead: the device is kept busy in the judge's own context while a worker queues its calls.

It owns how long that takes, when it is over, and how many calls are queued within it; whose calls
get one is ``trial``'s to say. Without it a call that is launched more slowly than it runs is timed
by its launch, which is what a processor does and not what the kernel does: torch.compile's guards
and wrapper take over 100 µs on a busy host. `triton.testing.do_bench` gains the same by clearing
the L2 before each call.
Contexts share a GPU by taking turns, so nothing of the worker's runs meanwhile.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import torch
from msgspec.structs import replace

from refine_agent.judge import statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from refine_agent.judge.seats import Block

# A longer lead would be interrupted: on an H200 (driver 580) none of 30 was at 2 ms, where others
# wait for the device, and all of 30 were at 4 ms.
LEAD_US = 1900.0
# A lead that took so much longer than it should was interrupted, and the worker ran within it.
INTERRUPTED, INTERRUPTED_SLACK_US = 1.25, 100.0
# Contexts take turns of some 2 ms: behind a lead, a kernel of the judge's comes when the worker's
# context has nothing left to do, if that is less than a turn. So it tells how long the device was
# at work, whoever's answer is heard late; it would interrupt a longer block. This is half a turn.
TURN_US = 1000.0
# A block has so many calls at least: the judge's clock is the finer the more there are.
LEAST_CALLS = 6
# A host is late now and then: a cadence is too quick for a worker that fails to keep it so often.
TRIES = 2
_TRIAL_CYCLES, _TRIALS = 1_000_000, 5


class Lead:
    """Holds one device for a given time."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._cycles = int(_cycles_per_us(device) * LEAD_US)
        self._began_ns = 0

    def begin(self) -> None:
        """Take the device; return at once."""
        self._began_ns = time.perf_counter_ns()
        torch.cuda._sleep(self._cycles)  # noqa: SLF001 - the only kernel of torch's that waits

    def end(self, told_ns: int) -> int:
        """Wait until it is over; return the time in ns from which the worker had the device.

        That is when its calls were ordered, ``told_ns``, if the lead was interrupted.
        """
        torch.cuda.synchronize(self._device)
        now = time.perf_counter_ns()
        took_us = (now - self._began_ns) / 1e3
        interrupted = took_us > LEAD_US * INTERRUPTED + INTERRUPTED_SLACK_US
        return told_ns if interrupted else now


class Cadence(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls make a block, and what holds the device until they are queued."""

    calls: int
    lead: Lead | None = None

    looks: bool = False
    """Whether the judge looks at when the device is free: eager's blocks are well within a turn."""

    def smaller(self) -> Cadence:
        """Return one of half as many calls; itself where there can be no fewer."""
        calls = max(min(self.calls, LEAST_CALLS), self.calls // 2)
        return self if calls == self.calls else replace(self, calls=calls)


def unhurried(cadence: Cadence, ask: Callable[[Cadence], Block]) -> Cadence:
    """Return a cadence at which a worker queues whole blocks within the lead, by its own word.

    Nothing else is decided by that word: who asks for smaller blocks than needed has longer ones
    of the judge's own cost to share.
    """
    while not any(all(ask(cadence).hidden) for _ in range(TRIES)):
        smaller = cadence.smaller()
        if smaller is cadence:
            break
        cadence = smaller
    return cadence


def _cycles_per_us(device: str) -> float:
    def once() -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.device(device):
            start.record()
            torch.cuda._sleep(_TRIAL_CYCLES)  # noqa: SLF001 - as above
            end.record()
            end.synchronize()
        took_ms: float = start.elapsed_time(end)
        return _TRIAL_CYCLES / (took_ms * 1e3)

    return statistics.median([once() for _ in range(_TRIALS)])
