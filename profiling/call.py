"""One call of a candidate, all evidence together: kernels by time and numbers of the whole call.

Several kernels become one number here, weighted by time; `diagnosis` finds what is wrong with them
and `details` prints them.
"""

import math

import msgspec

from refine_agent.profiling import metrics, plain, roofline, static
from refine_agent.profiling.evidence import (
    Compiled,
    CpuRun,
    KernelReport,
    Loop,
    Static,
    Trace,
    TracedKernel,
)
from refine_agent.profiling.records import Ceilings, Kernel, Metric, Rival, Work
from refine_agent.profiling.roofline import Floor, Floors

# A kernel with nine tenths of the time stands for the whole call: its floor is the call's floor.
DOMINANT = 0.9
# Ceilings are medians of a few per cent's spread, and reading 4.23 TB/s is not the most there is.
BEATEN = 0.9
# Kernels lighter than this may go unprofiled without a word.
HEAVY_PCT = 5.0


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about one call; any part may be missing."""

    work: Work | None = None
    ceilings: Ceilings | None = None
    timing_us: float | None = None
    reports: tuple[KernelReport, ...] = ()
    trace: Trace | None = None
    static: Static | None = None
    cpu: CpuRun | None = None
    rivals: tuple[Rival, ...] = ()


# Two medians of one run differ by a per cent or two without meaning.
AHEAD = 0.02


def ahead(call: Call) -> Rival | None:
    """Return the fastest rival if it beats the call by more than noise: a second ceiling."""
    took = time_us(call)
    fastest = min(call.rivals, key=lambda rival: rival.time_us, default=None)
    if fastest is None or not took or fastest.time_us > (1 - AHEAD) * took:
        return None
    return fastest


def floors(call: Call) -> Floors | None:
    """Return bound and measured ceiling of the call's work, or None without work or device."""
    if call.work is None or call.ceilings is None:
        return None
    return roofline.floors(call.work, call.ceilings)


def kernels_us(call: Call) -> float | None:
    """Return the device time of all kernels of one call, from the best source there is."""
    if call.trace is not None and call.trace.kernels:
        return sum(kernel.time_us for kernel in call.trace.kernels)
    return sum(report.time_us for report in call.reports) or None


def time_us(call: Call) -> float | None:
    """Return the time of one call: the judge's median, else that of its kernels."""
    return call.timing_us if call.timing_us is not None else kernels_us(call)


def floor(call: Call) -> Floor | None:
    """Return what the call's time is held against: the measured ceiling, else the bound.

    A ceiling that the call itself beats by more than a tenth is the floor of some other way to
    compute it (split products on tensor cores beat a library's FP32 matmul): the bound stands in.
    """
    both, took = floors(call), time_us(call)
    if both is None:
        return None
    known = [one for one in (both.ceiling, both.bound) if one is not None]
    if took is None:
        return next(iter(known), None)
    return next((one for one in known if took >= BEATEN * one.us), None)


def floor_name(call: Call) -> str:
    """Name what the call's time is held against, as pages print it."""
    both = floors(call)
    measured = both is not None and both.ceiling is not None and floor(call) == both.ceiling
    return "the measured ceiling" if measured else "the bound"


def room(call: Call) -> float | None:
    """Return the share of the call's time above its floor, 0 to 1; None where it has none."""
    took, least = time_us(call), floor(call)
    if least is None or not took:
        return None
    return max(0.0, 1 - least.us / took)


def kernels(call: Call) -> tuple[Kernel, ...]:
    """Return the call's kernels by time: torch.profiler's list where there is one, else ncu's."""
    total = kernels_us(call)
    if call.trace is not None and call.trace.kernels:
        return tuple(_traced_kernel(call, one, total) for one in call.trace.kernels)
    return _profiled_kernels(call, total)


def _traced_kernel(call: Call, one: TracedKernel, total: float | None) -> Kernel:
    """Return a row of the timeline; its launch shape is Nsight Compute's where that saw it."""
    exact = [report for report in call.reports if report.name == one.name]
    named = plain.function(one.name)
    alike = [report for report in call.reports if plain.function(report.name) == named]
    launch = next(iter(exact or alike), None)
    built = _compiled(call, one.name)
    registers = built.registers if one.registers is None and built else one.registers
    return Kernel(
        name=one.name,
        share_pct=100 * one.time_us / total if total else None,
        time_us=one.time_us,
        launches=one.launches,
        grid=one.grid if launch is None else launch.grid,
        block=one.block if launch is None else launch.block,
        cluster=None if launch is None else launch.cluster,
        registers=registers,
        shared_bytes=one.shared_bytes,
        spill_bytes=built.spill_store_bytes + built.spill_load_bytes if built else None,
        fits_pct=_fits_pct(one, registers, built),
    )


def _compiled(call: Call, name: str) -> Compiled | None:
    """Return what ptxas said of a kernel; None where several instances of it were built."""
    built = call.static.kernels if call.static else ()
    exact = [one for one in built if plain.name(one.name) == name]
    alike = [one for one in built if plain.function(one.name) == plain.function(name)]
    found = exact or alike
    return found[0] if len(found) == 1 else None


def _fits_pct(one: TracedKernel, registers: int | None, built: Compiled | None) -> float | None:
    sizes = one.block.split("x")
    if built is None or registers is None or one.shared_bytes is None or "?" in sizes:
        return None
    fits = static.occupancy(
        built.arch,
        threads=math.prod(map(int, sizes)),
        registers=registers,
        shared_bytes=one.shared_bytes,
    )
    return None if fits is None else fits.pct


def _profiled_kernels(call: Call, total: float | None) -> tuple[Kernel, ...]:
    grouped: dict[str, list[KernelReport]] = {}
    for report in call.reports:
        grouped.setdefault(report.name, []).append(report)
    found = [
        Kernel(
            name=name,
            share_pct=100 * sum(one.time_us for one in launches) / total if total else None,
            time_us=sum(one.time_us for one in launches),
            launches=len(launches),
            grid=launches[0].grid,
            block=launches[0].block,
            cluster=launches[0].cluster,
        )
        for name, launches in grouped.items()
    ]
    return tuple(sorted(found, key=lambda kernel: kernel.time_us or 0.0, reverse=True))


def heaviest(call: Call, most: int) -> tuple[KernelReport, ...]:
    """Return the longest launch of each of the heaviest kernels, heaviest first."""
    longest: dict[str, KernelReport] = {}
    for report in sorted(call.reports, key=lambda one: one.time_us):
        longest[report.name] = report
    return tuple(sorted(longest.values(), key=lambda one: -share_of(call, one.name))[:most])


def _listed(call: Call, name: str) -> Kernel | None:
    """Return the kernel of that name; tools that spell templates apart agree on functions."""
    every = kernels(call)
    exact = [kernel for kernel in every if kernel.name == name]
    alike = [one for one in every if plain.function(one.name) == plain.function(name)]
    return next(iter(exact or alike), None)


def share_of(call: Call, name: str) -> float:
    """Return a kernel's share of the call's device time, 0 to 1."""
    kernel = _listed(call, name)
    if kernel is not None:
        return (kernel.share_pct or 0.0) / 100
    total = sum(report.time_us for report in call.reports)
    mine = sum(report.time_us for report in call.reports if report.name == name)
    return mine / total if total else 0.0


def unprofiled(call: Call) -> tuple[str, ...]:
    """Return the heavy kernels of torch.profiler's list that Nsight Compute did not see."""
    if call.trace is None or not call.trace.kernels or not call.reports:
        return ()
    profiled = {plain.function(report.name) for report in call.reports}
    heavy = {plain.function(one.name) for one in kernels(call) if (one.share_pct or 0) >= HEAVY_PCT}
    return tuple(sorted(heavy - profiled))


# Without them nobody can tell waiting from working.
_THROUGHPUTS = ("dram_pct", "l2_pct", "l1_pct", "sm_pct")


def unweighed(call: Call) -> bool:
    """Tell whether it was not measured how busy the heaviest kernel keeps the device."""
    return any(
        metrics.reading(report, key) is None
        for report in heaviest(call, most=1)
        for key in _THROUGHPUTS
    )


def dram_bytes(call: Call) -> float | None:
    """Return the bytes that all launches moved over the DRAM interface.

    None if they were not counted, or not for every heavy kernel: a part is not the call's traffic.
    """
    if unprofiled(call):
        return None
    counted = [metrics.reading(report, "dram_mb") for report in call.reports]
    if not counted or any(value is None for value in counted):
        return None
    weights = [launches_each(call, report) for report in call.reports]
    return sum(w * value for w, value in zip(weights, counted, strict=True) if value) * 1e6


def l2_read_bytes(call: Call) -> float | None:
    """Return the bytes that SMs read from the L2, TMA's and remote shared memory's included."""
    counted = [metrics.reading(report, "l2_read_mb") for report in call.reports]
    if unprofiled(call) or not counted or any(value is None for value in counted):
        return None
    weights = [launches_each(call, report) for report in call.reports]
    return sum(w * value for w, value in zip(weights, counted, strict=True) if value) * 1e6


# Below a hundredth of all bytes the difference is the counters' own, and a hundredth of the time is
# not worth a word.
_LEAST_LEFT = 0.01


def left_in_l2(call: Call) -> float | None:
    """Return the bytes of the result that a lone kernel's end finds in the L2, not yet in DRAM.

    Profiled by itself it does not wait for them; calls that follow each other write back each
    other's.
    """
    work, alone = call.work, len(call.reports) == 1 and share_of(call, call.reports[0].name)
    written = metrics.reading(call.reports[0], "dram_write_mb") if call.reports else None
    if work is None or not work.bytes_written or written is None or alone < DOMINANT:
        return None
    left = work.bytes_written - written * 1e6
    takes, took = _copied_us(call, left), time_us(call)
    if left < _LEAST_LEFT * work.bytes_needed or (takes and took and takes < _LEAST_LEFT * took):
        return None
    return left


def write_back_us(call: Call) -> float:
    """Return how long writing that back takes at a copy's rate; 0 where nothing is left."""
    left = left_in_l2(call)
    return _copied_us(call, left) or 0.0 if left else 0.0


def _copied_us(call: Call, count: float) -> float | None:
    ceilings = call.ceilings
    rate = ceilings and (ceilings.copy_gbps or ceilings.dram_peak_gbps)
    return count / rate / 1e3 if rate else None


def launches_each(call: Call, report: KernelReport) -> float:
    """Return how many launches of the call one profiled launch stands for; 1 if all were."""
    seen = sum(1 for one in call.reports if one.name == report.name)
    if call.trace is None or not call.trace.kernels:
        return 1.0
    kernel = _listed(call, report.name)
    return max(1.0, kernel.launches / seen) if kernel is not None else 1.0


def gap_us(call: Call) -> float | None:
    """Return the time of one call in which the device ran no kernel.

    A profiler slows the host and stretches the gaps, so the judge's own timing, which ran without
    one, caps them.
    """
    trace = call.trace
    if trace is None or trace.gap_us is None:
        return None
    busy = kernels_us(call)
    if call.timing_us is None or busy is None:
        return trace.gap_us
    return min(trace.gap_us, max(0.0, call.timing_us - busy))


def metrics_of(call: Call) -> tuple[Metric, ...]:
    """Return every number of the page: the whole call's first, then each heavy kernel's own."""
    found = [*_call_metrics(call), *_pooled(call)]
    several = len({report.name for report in call.reports}) > 1
    for report in heaviest(call, most=4) if several else ():
        found += [
            Metric(
                key=one.quantity.key,
                value=one.value,
                unit=one.quantity.unit,
                ceiling=one.ceiling,
                kernel=report.name,
            )
            for one in metrics.readings(report)
        ]
    return tuple(found)


def _call_metrics(call: Call) -> list[Metric]:
    took, both = time_us(call), floors(call)
    moved, gap = dram_bytes(call), gap_us(call)
    launches = sum(kernel.launches for kernel in kernels(call)) or None
    values = {
        "time_us": took,
        "floor_ratio": took / both.ceiling.us if took and both and both.ceiling else None,
        "bound_ratio": took / both.bound.us if took and both and both.bound else None,
        "traffic_ratio": moved / call.work.bytes_needed if moved and call.work else None,
        "l2_read_ratio": _l2_read_ratio(call),
        "launches": launches,
        "gap_pct": 100 * gap / took if gap is not None and took else None,
        **_processor_values(call, took),
        "spill_bytes": _spill_bytes(call),
    }
    ceilings = _processor_ceilings(call)
    return [
        Metric(
            key=key, value=float(value), unit=metrics.BY_KEY[key].unit, ceiling=ceilings.get(key)
        )
        for key, value in values.items()
        if value is not None
    ]


def _l2_read_ratio(call: Call) -> float | None:
    asked, work = l2_read_bytes(call), call.work
    return asked / work.bytes_read if asked and work and work.bytes_read else None


def _spill_bytes(call: Call) -> int | None:
    if call.static is None or not call.static.kernels:
        return None
    return max(one.spill_store_bytes + one.spill_load_bytes for one in call.static.kernels)


def _processor_values(call: Call, took: float | None) -> dict[str, float | None]:
    if call.cpu is None:
        return {}
    run, work, loops = call.cpu, call.work, innermost_loops(call)
    return {
        "cpu_gbps": work.bytes_needed / took / 1e3 if work and took else None,
        "cpu_gflops": operations(work) / took / 1e3 if work and took and operations(work) else None,
        "threads_used": threads_used(run),
        "page_faults": run.page_faults,
        "system_pct": None if run.system_share is None else 100 * run.system_share,
        "vectorised_loops": sum(one.vector_bytes is not None for one in loops) if loops else None,
        "scalar_loops": sum(one.vector_bytes is None for one in loops) if loops else None,
        "ipc": run.instructions / run.cycles if run.instructions and run.cycles else None,
        "cache_misses_m": run.cache_misses / 1e6 if run.cache_misses is not None else None,
    }


def innermost_loops(call: Call) -> tuple[Loop, ...]:
    """Return the candidate's loops that a compiler may be expected to vectorise."""
    return tuple(loop for loop in (call.static.loops if call.static else ()) if loop.innermost)


def _processor_ceilings(call: Call) -> dict[str, float | None]:
    if call.cpu is None or call.ceilings is None:
        return {}
    matmul = _matmul_tflops(call)
    return {
        "cpu_gbps": call.ceilings.copy_gbps,
        "cpu_gflops": matmul * 1e3 if matmul else None,
        "threads_used": call.ceilings.threads,
    }


def _matmul_tflops(call: Call) -> float | None:
    """Return a library's rate in the precision of most operations; None if it was not measured."""
    most = max(call.work.flops if call.work else (), key=lambda one: one.count, default=None)
    if most is None or call.ceilings is None:
        return None
    return roofline.matmul_tflops(most.precision, call.ceilings)


def operations(work: Work) -> int:
    """Return all operations the reference asks for."""
    return sum(flops.count for flops in work.flops)


# A thread with less than a fifth of the busiest one's time only woke up and went to sleep again.
_WORKED = 0.2
# Below this the kernel's accounting and Python's own share say more than the call.
_LEAST_SECONDS = 0.01


def threads_used(run: CpuRun) -> float | None:
    """Return how many threads worked: by their own clocks, else CPU time over wall time.

    None where the calls were too short, or threads came and went too fast, to tell.
    """
    if run.threads_used is not None:
        return float(run.threads_used)
    long_enough = (run.wall_seconds or 0.0) * (run.calls or 1) >= _LEAST_SECONDS
    if not long_enough:
        return None
    if run.thread_seconds and run.gone_seconds < 0.1 * run.thread_seconds[0]:
        least = _WORKED * run.thread_seconds[0]
        return float(sum(1 for one in run.thread_seconds if one >= least))
    if run.cpu_seconds is None or not run.wall_seconds:
        return None
    return float(max(1, round(run.cpu_seconds / run.wall_seconds)))


def _pooled(call: Call) -> list[Metric]:
    read = [
        (report, launches_each(call, report), metrics.readings(report)) for report in call.reports
    ]
    found = []
    whole = not unprofiled(call)
    for quantity in metrics.TABLE:
        if quantity.pool == "sum" and not whole:
            continue
        rows = [
            _Row(launches=launches, us=report.time_us, value=one.value, ceiling=one.ceiling)
            for report, launches, every in read
            for one in every
            if one.quantity.key == quantity.key
        ]
        if rows:
            found.append(_pool(quantity, rows))
    return found


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    launches: float
    us: float
    value: float
    ceiling: float | None


def _pool(quantity: metrics.Quantity, rows: list[_Row]) -> Metric:
    weight = sum(row.launches * row.us for row in rows) or 1.0
    if quantity.pool == "sum":
        value = sum(row.launches * row.value for row in rows)
    elif quantity.pool == "max":
        value = max(row.value for row in rows)
    else:
        value = sum(row.launches * row.us * row.value for row in rows) / weight
    ceilings = [row.ceiling for row in rows if row.ceiling is not None]
    alike = ceilings[0] if ceilings and (len(rows) == 1 or len(set(ceilings)) == 1) else None
    return Metric(key=quantity.key, value=value, unit=quantity.unit, ceiling=alike)


def disagreements(call: Call) -> tuple[str, ...]:
    """Return where Nsight Compute, torch.profiler and the timing do not tell the same story."""
    found = []
    if call.trace is not None and call.trace.kernels and call.reports:
        seen = {plain.function(kernel.name) for kernel in call.trace.kernels}
        profiled = {plain.function(report.name) for report in call.reports}
        if lost := unprofiled(call):
            found.append(f"not profiled by ncu: {', '.join(lost[:3])}; sums are left out")
        if extra := sorted(profiled - seen):
            found.append(f"only under ncu: {', '.join(extra[:3])}")
        launches = sum(kernel.launches for kernel in call.trace.kernels)
        if launches > len(call.reports) and not lost:
            found.append(
                f"ncu profiled {len(call.reports)} of {launches} launches; sums are scaled"
            )
        found += _times_apart(call)
    busy = kernels_us(call)
    if call.timing_us and busy and busy > 1.2 * call.timing_us:
        found.append(
            f"kernels take {busy:.1f} us when profiled, the call {call.timing_us:.1f} us when timed"
        )
    # Where the timeline knows the gaps, the page shows them.
    if call.timing_us and busy and busy < 0.5 * call.timing_us and gap_us(call) is None:
        found.append(
            f"kernels take {busy:.1f} us when profiled, the call {call.timing_us:.1f} us when "
            "timed: host work, copies, or kernels that no profiler saw"
        )
    return tuple(found)


# Nsight Compute flushes the caches before a launch; that alone costs small kernels some.
_TIMES_APART = 1.25


def _times_apart(call: Call) -> list[str]:
    found = []
    for report in heaviest(call, most=4):
        listed = _listed(call, report.name)
        if listed is None or not listed.time_us or (listed.share_pct or 0.0) < HEAVY_PCT:
            continue
        each = listed.time_us / listed.launches
        alike = [one.time_us for one in call.reports if one.name == report.name]
        seen = sum(alike) / len(alike)
        if not each / _TIMES_APART < seen < each * _TIMES_APART:
            found.append(
                f"{report.name} takes {seen:.1f} us under ncu, {each:.1f} us in the timeline"
            )
    return found
