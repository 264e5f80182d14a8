"""The lead: the device is kept busy in the judge's own context while a worker queues its calls.

It owns how long that takes and when it is over; whose calls get one is ``trial``'s to say. Without
it a call that is launched more slowly than it runs is timed by its launch, which is what a
processor does and not what the kernel does: torch.compile's guards and wrapper take over 100 µs on
a busy host. `triton.testing.do_bench` gains the same by clearing the L2 before each call.
Contexts share a GPU by taking turns, so nothing of the worker's runs meanwhile.
"""

from __future__ import annotations

import time

import torch

from refine_agent.judge import statistics

# A longer lead would be interrupted: on an H200 (driver 580) none of 30 was at 2 ms, where others
# wait for the device, and all of 30 were at 4 ms.
LEAST_US, MOST_US = 100.0, 1900.0
LONGER = 1.5
# A lead that took so much longer than it should was interrupted, and the worker ran within it.
INTERRUPTED = 1.25
_TRIAL_CYCLES, _TRIALS = 1_000_000, 5


class Lead:
    """Holds one device for a given time."""

    def __init__(self, device: str, *, us: float) -> None:
        self.us = min(max(us, LEAST_US), MOST_US)
        self._device = device
        self._cycles = int(_cycles_per_us(device) * self.us)
        self._began_ns = 0

    def longer(self) -> Lead:
        """Return one that lasts half as long again, as far as leads go; itself where they end."""
        return self if self.us >= MOST_US else Lead(self._device, us=self.us * LONGER)

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
        interrupted = (now - self._began_ns) / 1e3 > self.us * INTERRUPTED + LEAST_US
        return told_ns if interrupted else now


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
