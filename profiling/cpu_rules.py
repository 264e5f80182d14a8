"""What costs time on a CPU: idle or unequal threads, scalar loops, page faults, unfused operators.

Each rule is one function from a `Call` to a finding or None; `diagnosis` ranks them and
`processor` reads what the worker tallied.
"""

from collections.abc import Sequence

from refine_agent.profiling import call as calls
from refine_agent.profiling.call import Call
from refine_agent.profiling.evidence import Loop
from refine_agent.profiling.plain import duration, percent
from refine_agent.profiling.records import Finding

# Waking threads and meeting at the end cost some 5 to 50 us: shorter calls may well stay on one.
WORTH_SPLITTING_US = 200.0
# Where threads wait longer than this for a core, other programs explain a slow or idle one.
BUSY_MACHINE = 0.2


def few_threads(call: Call) -> Finding | None:
    """Return that most of the threads that torch would use have nothing to do."""
    used, have, took = _threads(call), call.ceilings and call.ceilings.threads, calls.time_us(call)
    if used is None or not have or used > have / 2 or (took and took < WORTH_SPLITTING_US):
        return None
    flags = call.static.host_flags if call.static else None
    serial = flags is not None and "-fopenmp" not in flags
    return Finding(
        kind="few_threads",
        severity=1 - used / have,
        text=f"{used:.0f} of {have} threads work"
        + ("; without -fopenmp, at::parallel_for and OpenMP run on one" if serial else ""),
        advice=("pass -fopenmp in extra_cflags, and " if serial else "")
        + "split the outer loop with at::parallel_for or #pragma omp parallel for",
    )


def unequal_threads(call: Call) -> Finding | None:
    """Return that some threads are done long before the others."""
    run = call.cpu
    if run is None or _busy(call) or len(run.thread_seconds) < 2:  # noqa: PLR2004
        return None
    counted = run.thread_seconds[: round(calls.threads_used(run) or 0)]
    took = calls.time_us(call)
    if len(counted) < 2 or (took and took < WORTH_SPLITTING_US):  # noqa: PLR2004
        return None
    idle = 1 - sum(counted) / len(counted) / counted[0]
    if idle < 0.1:  # noqa: PLR2004
        return None
    least, most = (duration(1e6 * one) for one in (counted[-1], counted[0]))
    return Finding(
        kind="unequal_threads",
        severity=idle,
        text=f"the least busy thread works {least} a call, the busiest {most}",
        advice="cut the work into more and equal pieces (a smaller grain for at::parallel_for, "
        "schedule(dynamic) for OpenMP)",
    )


def _threads(call: Call) -> float | None:
    """Return the threads that worked; a guess from times on a busy machine is no count."""
    run = call.cpu
    if run is None or (_busy(call) and not run.thread_seconds):
        return None
    return calls.threads_used(run)


def _busy(call: Call) -> bool:
    return call.cpu is not None and (call.cpu.waited_share or 0.0) > BUSY_MACHINE


# Two cores of an EPYC: half a microsecond each when idle (50 ms with faults one by one, 34 in
# bulk), two under load.
_FAULT_S = 1e-6
_PAGE_BYTES = 4096


def page_faults(call: Call) -> Finding | None:
    """Return that the kernel spends the call's time on giving it memory."""
    run, work = call.cpu, call.work
    if run is None or not run.page_faults or not run.system_share or not run.cpu_seconds:
        return None
    touched = run.page_faults * _PAGE_BYTES
    if work is not None and touched < work.bytes_needed / 10:
        return None
    # Huge pages swung between 22 and 160 ms where the kernel had to compact memory for them. A pool
    # took a LayerNorm of 4096x8192 from 36 ms to 15, and faults in bulk from 42 to 36.
    return Finding(
        kind="page_faults",
        severity=min(run.system_share, run.page_faults * _FAULT_S / run.cpu_seconds),
        text=f"{run.page_faults:,} page faults a call ({touched / 1e6:.0f} MB, if each is a page "
        f"of 4 KB), and {percent(run.system_share)} of the CPU time in the kernel: memory is new "
        "to the process whenever it is touched first",
        advice="take the faults in bulk, madvise(MADV_POPULATE_WRITE) on each block of some 100 KB "
        "just before it is written, or pay them once: results from a pool whose blocks come back "
        "when nobody holds them any more (torch::from_blob with a deleter); allocate no scratch "
        "arrays within the call (huge pages only where memory is not fragmented)",
    )


def unoptimised(call: Call) -> Finding | None:
    """Return that the candidate was compiled without any optimisation."""
    flags = call.static.host_flags if call.static else None
    if call.cpu is None or flags is None or "-O" in flags:
        return None
    return Finding(
        kind="unoptimised",
        severity=_at_stake(call),
        text="the C++ was compiled without optimisation (torch's load_inline passes no -O flag)",
        advice='pass extra_cflags=["-O3", "-march=native", "-fopenmp"]',
    )


def narrow_vectors(call: Call) -> Finding | None:
    """Return that loops use half or a quarter of the vectors that the processor has."""
    flags = call.static.host_flags if call.static else None
    widest = max((loop.vector_bytes or 0 for loop in calls.innermost_loops(call)), default=0)
    have = call.cpu.vector_bytes if call.cpu else None
    # GCC prefers 32 bytes on many processors that have 64, for their clocks' sake.
    if not widest or not have or flags is None or widest >= min(have, 32) or "-march=" in flags:
        return None
    return Finding(
        kind="narrow_vectors",
        severity=_at_stake(call) * (1 - widest / min(have, 32)),
        text=f"loops use vectors of {widest} bytes, and the processor has {have}",
        advice="pass -march=native in extra_cflags",
    )


def scalar_loops(call: Call) -> Finding | None:
    """Return loops that run one element at a time, or add floats one after the other."""
    loops = calls.innermost_loops(call)
    slow = [loop for loop in loops if loop.vector_bytes is None or loop.in_order]
    if not slow:
        return None
    if all(loop.in_order for loop in slow):
        return _ordered_sums(call, slow, of=len(loops))
    named = "; ".join(f"{loop.place}: {why(loop)}" for loop in slow[:3])
    return Finding(
        kind="scalar_loops",
        severity=0.5 * _at_stake(call) * len(slow) / len(loops),
        text=f"{len(slow)} of {len(loops)} innermost loops gain nothing from vectors ({named})",
        where=str(slow[0].place),
        advice="make the loop's accesses contiguous and independent (__restrict__, local "
        "accumulators, no branches or calls inside), or use at::vec::Vectorized",
    )


def _ordered_sums(call: Call, slow: Sequence[Loop], *, of: int) -> Finding:
    named = ", ".join(str(loop.place) for loop in slow[:3])
    return Finding(
        kind="ordered_sums",
        severity=0.5 * _at_stake(call) * len(slow) / of,
        text=f"{len(slow)} of {of} innermost loops ({named}) keep a float sum in order, so that "
        "each addition waits for the one before, vectors or not",
        where=str(slow[0].place),
        advice="let the sum be reordered: -fassociative-math -fno-signed-zeros -fno-trapping-math, "
        "#pragma omp simd reduction(+:sum) with -fopenmp, or several accumulators",
    )


def why(loop: Loop) -> str:
    """Return why a loop gains nothing from vectors, in the compiler's sense or in ours."""
    return "it keeps a float sum in order" if loop.in_order else loop.reason or "no reason given"


def _at_stake(call: Call) -> float:
    room = calls.room(call)
    return 1.0 if room is None else room


# An operator with less of the call's time is no pass over the data.
_A_PASS = 0.05


def unfused_operators(call: Call) -> Finding | None:
    """Several of torch's operators that hand whole arrays to each other through memory."""
    work = call.work
    took = call.trace and (call.trace.wall_us or calls.time_us(call))
    if not took or work is None or call.trace is None or not work.unfused_bytes:
        return None
    passes = [one for one in call.trace.operators if one.self_us >= _A_PASS * took]
    several = len(passes) > 1 or sum(one.calls for one in passes) > 1
    if not several or work.unfused_bytes < 1.3 * work.bytes_needed:
        return None
    named = ", ".join(one.name for one in passes[:4])
    return Finding(
        kind="extra_traffic",
        severity=1 - work.bytes_needed / work.unfused_bytes,
        text=f"operators hand arrays to each other through memory ({named}): "
        f"{work.unfused_bytes / 1e6:.0f} MB move where {work.bytes_needed / 1e6:.0f} are needed",
        advice="do all of it in one loop over the data, a row or a tile at a time",
    )


RULES = (
    few_threads,
    unequal_threads,
    page_faults,
    unoptimised,
    narrow_vectors,
    scalar_loops,
    unfused_operators,
)


# Blocks this large always come fresh from the system: glibc's largest mmap threshold (mallopt(3)).
_ALWAYS_FRESH_BYTES = 32 << 20


def unexplained(call: Call, room: float) -> Finding:
    """Name what usually costs time on a CPU where threads, loops and operators show nothing."""
    run, written = call.cpu, call.work.bytes_written if call.work else None
    floor = calls.floor_name(call)
    if run is not None and _busy(call):
        return Finding(
            kind="busy_machine",
            severity=room,
            text=f"{percent(room)} of the time lies above {floor}, and threads had no "
            f"core {percent(run.waited_share or 0.0)} of their time: other programs ran as well",
            advice="measure again on a quiet machine before changing anything",
        )
    counted = run is not None and run.page_faults is not None
    fresh = not counted and written is not None and written >= _ALWAYS_FRESH_BYTES
    faults = (
        f". A usual cause: the fresh output of {(written or 0) / 1e6:.0f} MB faults at its first "
        f"touch, {(written or 0) // _PAGE_BYTES:,} times with pages of 4 KB"
    )
    bulk = (
        "take the faults in bulk, madvise(MADV_POPULATE_WRITE) on each block of some 100 KB just "
        "before it is written (huge pages only where memory is not fragmented); "
    )
    looked_at = (
        "threads, page faults, loops and operators" if counted else ("threads, loops and operators")
    )
    return Finding(
        kind="far_from_floor",
        severity=room,
        text=f"{percent(room)} of the time lies above {floor}, and {looked_at} do not "
        f"show why{faults if fresh else ''}",
        advice=(bulk if fresh else "")
        + (_STREAM if _could_stream(call) else "")
        + "walk memory in the order in which it lies, in one pass, and in tiles that fit the L2",
    )


# An ordinary store reads the line that it overwrites (AMD's and Intel's optimisation manuals call
# it a read for ownership), so that a copy moves three bytes for each two.
_STREAM = (
    "write what is not read again past the caches (streaming stores such as _mm512_stream_ps, on "
    "aligned addresses, and _mm_sfence at the end), since an ordinary store reads its line first; "
)


def _could_stream(call: Call) -> bool:
    written = call.work.bytes_written if call.work else None
    streams = call.static is not None and call.static.streams
    return written is not None and written >= _ALWAYS_FRESH_BYTES and not streams
