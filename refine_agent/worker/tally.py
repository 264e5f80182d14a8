"""What calls took of the processor: each thread's time, page faults, the hardware's counters.

It owns reading those around a call in the candidate's process, as claims; what they amount to is
profiling's business.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from refine_agent.profiling.processor import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Long enough for the kernel's own accounting, short enough for a turn.
SECONDS = 0.15
MOST_CALLS = 64

_TASKS = Path("/proc/self/task")
_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
_CLOSE_ON_EXEC = 8
# perf_event.h: of type PERF_TYPE_HARDWARE, by its PERF_COUNT_HW_ number.
_EVENTS = {"cycles": 0, "instructions": 1, "cache_misses": 3, "branch_misses": 5}
# Threads started meanwhile count too; the kernel and a hypervisor do not, which needs no rights.
_INHERIT, _NO_KERNEL, _NO_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_TIME_ENABLED_AND_RUNNING = 1 | 2


def tally(call: Callable[[], Any], *, seconds: float = SECONDS) -> Tally:
    """Repeat ``call`` for about that long and return what the calls took together.

    Call once before: what happens only then (allocations, thread pools) is not a call's own.
    """
    threads = _threads()
    counters, closed = _open_counters(threads)
    before, calls = _Reading(threads), 0
    while calls < MOST_CALLS and (calls == 0 or time.perf_counter() - before.wall < seconds):
        call()
        calls += 1
    after = _Reading(threads)
    counted = {name: _read_all(files) for name, files in counters.items()}
    return _difference(before, after, calls, counted, closed)


class _Reading:
    """Every clock of this process at one moment."""

    def __init__(self, threads: Iterable[int]) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.system = usage.ru_stime
        self.faults = usage.ru_minflt + usage.ru_majflt
        self.waited = _waited(threads)
        self.threads = {thread: _cpu_time(thread) for thread in threads}
        self.process = time.process_time()
        self.wall = time.perf_counter()


def _difference(
    before: _Reading,
    after: _Reading,
    calls: int,
    counted: dict[str, int | None],
    closed: int | None,
) -> Tally:
    worked = [
        left - came
        for thread, came in before.threads.items()
        if came is not None and (left := after.threads[thread]) is not None
    ]
    waited = None
    if before.waited is not None and after.waited is not None:
        waited = max(0.0, after.waited - before.waited)
    return msgspec.structs.replace(
        Tally(calls=calls, wall_s=after.wall - before.wall),
        thread_s=[max(0.0, one) for one in worked],
        gone_s=max(0.0, after.process - before.process - sum(worked)),
        waited_s=waited,
        system_s=max(0.0, after.system - before.system),
        page_faults=after.faults - before.faults,
        closed=closed,
        paranoid=_paranoid(),
        vector_bytes=_vector_bytes(),
        **counted,
    )


def _threads() -> tuple[int, ...]:
    try:
        return tuple(int(task.name) for task in _TASKS.iterdir())
    except OSError:
        return ()


def _cpu_time(thread: int) -> float | None:
    # Linux: the clock of one thread is made from its number (CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED).
    try:
        return time.clock_gettime((~thread << 3) | 6)
    except OSError:
        return None


def _waited(threads: Iterable[int]) -> float | None:
    """Return how long these threads were ready to run and had no core, in seconds."""
    total = 0
    for thread in threads:
        try:
            total += int(
                (_TASKS / str(thread) / "schedstat").read_text(encoding="ascii").split()[1]
            )
        except FileNotFoundError:
            continue  # the thread has ended
        except (OSError, ValueError, IndexError):
            return None
    return total / 1e9


def _paranoid() -> int | None:
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text(encoding="ascii"))
    return None


def _vector_bytes() -> int | None:
    """Return the widest vectors this processor has."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    words = set(flags.split())
    return 64 if "avx512f" in words else 32 if "avx2" in words else 16 if words else None


# --- hardware counters ----------------------------------------------------------------------------


def _open_counters(threads: Iterable[int]) -> tuple[dict[str, list[int]], int | None]:
    """Start the counters of these threads; return them, or the errno that refuses them."""
    number = _PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        return {}, None
    libc = ctypes.CDLL(None, use_errno=True)
    found: dict[str, list[int]] = {}
    for name, config in _EVENTS.items():
        for thread in threads:
            # perf_event_attr of its first size: type, size, config, period, what to sample, how to
            # read, flags, and two fields for sampling.
            flags = _INHERIT | _NO_KERNEL | _NO_HYPERVISOR
            fields = (0, 64, config, 0, 0, _TIME_ENABLED_AND_RUNNING, flags, 0, 0)
            attributes = ctypes.create_string_buffer(struct.pack("=IIQQQQQQQ", *fields))
            opened = libc.syscall(number, attributes, thread, -1, -1, _CLOSE_ON_EXEC)
            if opened < 0 and name == "cycles":
                return {}, ctypes.get_errno()
            if opened >= 0:
                found.setdefault(name, []).append(opened)
    return found, None


def _read_all(files: Iterable[int]) -> int | None:
    """Add up the counts of all threads and close them; scaled where they took turns."""
    total, seen = 0.0, False
    for file in files:
        with suppress(OSError, struct.error):
            count, enabled, running = struct.unpack("=QQQ", os.read(file, 24))
            if running:
                total, seen = total + count * enabled / running, True
        os.close(file)
    return round(total) if seen else None
