"""What calls took of a CPU: each thread's time, page faults and counters, as a worker tallies them.

The worker reads clocks and counters around the calls; this module says what it must write and what
that amounts to for one call. Judging it is left to `cpu_rules`.
"""

import errno
import math

import msgspec

from refine_agent.profiling.evidence import CpuRun

MOST_THREADS = 4096
_WEEK_S = 7 * 86400.0
_MOST_COUNT = 1 << 62


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the worker writes: sums over `calls` calls that took `wall_s` seconds together.

    `thread_s` is the CPU time of every thread that lived through them, `gone_s` that of threads
    that did not. `waited_s` is how long threads were ready and had no core (Linux: schedstat),
    `system_s` the part of the CPU time spent in the kernel. `closed` is the errno with which the
    kernel refused the counters, `paranoid` its perf_event_paranoid.
    """

    calls: int
    wall_s: float
    thread_s: list[float] = []
    gone_s: float = 0.0
    waited_s: float | None = None
    system_s: float | None = None
    page_faults: int | None = None
    cycles: int | None = None
    instructions: int | None = None
    cache_misses: int | None = None
    branch_misses: int | None = None
    closed: int | None = None
    paranoid: int | None = None
    vector_bytes: int | None = None


def sane(tally: Tally) -> bool:
    """Tell whether these can be counts and times of calls; a candidate could write others."""
    times = [tally.wall_s, tally.gone_s, *tally.thread_s, tally.waited_s, tally.system_s]
    counts = [tally.page_faults, tally.cycles, tally.instructions]
    counts += [tally.cache_misses, tally.branch_misses]
    return (
        0 < tally.calls <= 1 << 20
        and len(tally.thread_s) <= MOST_THREADS
        and all(time is None or (math.isfinite(time) and 0 <= time < _WEEK_S) for time in times)
        and all(count is None or 0 <= count < _MOST_COUNT for count in counts)
    )


def run_of(tally: Tally) -> CpuRun:
    """Return one call's share of a tally."""
    calls = tally.calls
    worked = sorted((one / calls for one in tally.thread_s if one > 0), reverse=True)
    spent = sum(tally.thread_s) + tally.gone_s
    return CpuRun(
        calls=calls,
        wall_seconds=tally.wall_s / calls,
        cpu_seconds=spent / calls,
        thread_seconds=tuple(worked[:256]),
        gone_seconds=tally.gone_s / calls,
        waited_share=_share(tally.waited_s, spent + (tally.waited_s or 0.0)),
        system_share=_share(tally.system_s, spent),
        page_faults=_each(tally.page_faults, calls),
        vector_bytes=tally.vector_bytes if tally.vector_bytes in {16, 32, 64} else None,
        cycles=_each(tally.cycles, calls),
        instructions=_each(tally.instructions, calls),
        cache_misses=_each(tally.cache_misses, calls),
        branch_misses=_each(tally.branch_misses, calls),
        counters_closed=_closed(tally),
    )


def _share(part: float | None, whole: float) -> float | None:
    return min(1.0, part / whole) if part is not None and whole > 0 else None


def _each(count: int | None, calls: int) -> int | None:
    return None if count is None else round(count / calls)


# perf_event_open(2). At 2 and below a process may count its own user-space events.
_OWN_EVENTS = 2


def _closed(tally: Tally) -> str | None:
    if tally.cycles is not None or tally.closed is None:
        return None
    if tally.closed in {errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP}:
        return "this machine shows no hardware counters, as is usual in a virtual machine"
    if tally.closed == errno.ENOSYS:
        return "this system has no perf_event_open"
    if tally.paranoid is not None and tally.paranoid > _OWN_EVENTS:
        return (
            f"kernel.perf_event_paranoid is {tally.paranoid}; at 2 a process may count its own "
            "events (sysctl kernel.perf_event_paranoid=2)"
        )
    return (
        f"the kernel refuses perf_event_open ({errno.errorcode.get(tally.closed, 'unknown error')})"
        ", as containers do whose seccomp profile lacks it"
    )
