"""The lines of a page below its findings: each says a number, its unit and its ceiling.

It formats what `metrics` and `call` computed and decides nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from refine_agent.profiling import blame, metrics, plain, stalls, work_rules
from refine_agent.profiling import call as calls
from refine_agent.profiling.call import Call
from refine_agent.profiling.case import count, excess_sectors, excess_wavefronts
from refine_agent.profiling.evidence import CpuRun, Instruction, KernelReport, Loop, Operator, Rule
from refine_agent.profiling.metrics import reading
from refine_agent.profiling.plain import percent
from refine_agent.profiling.records import Kernel
from refine_agent.profiling.roofline import Floor

SHOWN_KERNELS = 5
SHOWN_STALLS = 3
SHOWN_RULES = 4
SHOWN_LOCAL_RULES = 2
SHOWN_LOOPS = 6
SHOWN_OPERATORS = 6
# Operators below a hundredth of the call (empty, view, stride) are housekeeping.
LEAST_OPERATOR = 0.01
SHOWN_THREADS = 8
LEAST_RATE = 0.02
# Less waiting for a core than this is the scheduler's own.
WORTH_A_WAIT = 0.05
# Shares too small to be worth a word.
LEAST_STALL = 0.02
LEAST_ESTIMATE_PCT = 5
# Excess sectors and wavefronts below this are edges and arbitration.
WORTH_A_PLACE_PCT = 3
# The zoo's kernels ran at 0.97 to 1.0 of the boost clock, at which arithmetic peaks are stated.
HELD_BACK = 0.9


def overview(call: Call) -> Iterator[str]:
    """Yield kernels, floors and traffic of the whole call."""
    yield from _kernels(call)
    yield from _floors(call)
    yield from _traffic(call)
    for words in calls.disagreements(call):
        yield f"DISAGREEMENT  {words}"


def _kernels(call: Call) -> Iterator[str]:
    every = calls.kernels(call)
    if not every:
        return
    launches = sum(kernel.launches for kernel in every)
    named = "; ".join(
        f"{one.name}{_launch(one)}{'' if call.reports else _takes(one)}"
        + (f" x{one.launches}" if one.launches > 1 else "")
        + ("" if one.time_us is None else f", {one.time_us:.1f} us")
        + ("" if one.share_pct is None or len(every) == 1 else f" {one.share_pct:.0f} %")
        for one in every[:SHOWN_KERNELS]
    )
    more = f"; {len(every) - SHOWN_KERNELS} more" if len(every) > SHOWN_KERNELS else ""
    gap = calls.gap_us(call)
    idle = f"; {gap:.1f} us without any kernel" if gap else ""
    yield f"KERNELS  {launches} launch{'es' if launches > 1 else ''}: {named}{more}{idle}"


def _launch(kernel: Kernel) -> str:
    """Return how a kernel was launched, as far as anybody recorded it."""
    if kernel.grid == kernel.block == "?":
        return ""
    clusters = f" in clusters of {kernel.cluster}" if kernel.cluster else ""
    return f" <<<{kernel.grid}, {kernel.block}>>>{clusters}"


def _takes(kernel: Kernel) -> str:
    """Return what a launch takes of an SM, which counters say at greater length."""
    parts = [] if kernel.registers is None else [f"{kernel.registers} registers/thread"]
    parts += [] if kernel.shared_bytes is None else [f"{kernel.shared_bytes / 1e3:.1f} KB shared"]
    parts += [] if kernel.fits_pct is None else [f"{kernel.fits_pct:.0f} % of an SM's warps fit"]
    return f" ({', '.join(parts)})" if parts else ""


def _floors(call: Call) -> Iterator[str]:
    took, both = calls.time_us(call), calls.floors(call)
    if took is None:
        return
    by = _within_kernels(call)
    rivals = _rivals(call, took)
    if both is None or (both.bound is None and both.ceiling is None):
        unknown = "no floor: what the operation needs, or what the device can do, is not known here"
        yield f"TIME  {plain.duration(took)}{by}; {unknown}{rivals}"
        return
    parts = []
    if both.ceiling is not None:
        beaten = _BEATEN if took < calls.BEATEN * both.ceiling.us else ""
        ceiling = f"{_floor(both.ceiling)}{beaten}"
        parts.append(f"{took / both.ceiling.us:.2f}x the measured ceiling {ceiling}")
    if both.bound is not None:
        parts.append(f"{took / both.bound.us:.2f}x the bound {_floor(both.bound)}")
    caveats = (both.ceiling or both.bound or _NO_FLOOR).caveats
    if call.cpu is not None:
        caveats = tuple(one for one in caveats if "GPU" not in one)
    note = f" [{'; '.join(caveats)}]" if caveats else ""
    yield f"FLOOR  {plain.duration(took)}{by} is {', '.join(parts)}{note}{rivals}"


def _rivals(call: Call, took: float) -> str:
    """Say how long the baselines take: what is proven possible."""
    every = sorted(call.rivals, key=lambda rival: rival.time_us)
    named = ", ".join(
        f"{one.name} {plain.duration(one.time_us)} ({one.time_us / took:.2f}x this)"
        for one in every
    )
    return f"; for comparison {named}" if named else ""


def _within_kernels(call: Call) -> str:
    """Say how much of the judge's time kernels fill, and what the rest is.

    Row-wise kernels on an H200 left 24 to 27 MB in the L2 and took 4 to 8 us more when timed in a
    row than under Nsight Compute, with 132 blocks as with 8192: their write-back is 6 us.
    """
    kernels = calls.kernels_us(call)
    if call.timing_us is None:
        return " (kernels only)"
    if kernels is None or not 0.5 * call.timing_us < kernels < call.timing_us:
        return ""
    more = call.timing_us - kernels
    rest = "launch, drain and write-back" if calls.left_in_l2(call) else "launch and drain"
    return f" ({more:.1f} of it outside its kernels, in {rest}: {_CEILINGS_PART})"


# Ceilings are taken on a gibibyte: of their half millisecond, launch and drain are a hundredth.
_CEILINGS_PART = "1 % of a ceiling's own time"
_BEATEN = " (beaten, so not this kernel's floor: what follows counts from the bound)"
_NO_FLOOR = Floor(us=0.0, by="bytes", text="")


def _floor(floor: Floor) -> str:
    return f"{plain.duration(floor.us)} ({floor.text})"


def _traffic(call: Call) -> Iterator[str]:
    moved = calls.dram_bytes(call)
    if moved is None:
        yield from _needed_rate(call)
        return
    each = [(calls.launches_each(call, report), report) for report in call.reports]
    read = sum(n * (reading(report, "dram_read_mb") or 0.0) for n, report in each)
    written = sum(n * (reading(report, "dram_write_mb") or 0.0) for n, report in each)
    needed = ""
    if call.work is not None:
        ratio = moved / call.work.bytes_needed
        needed = f" for {call.work.bytes_needed / 1e6:.1f} MB needed = {ratio:.2f}x{_left(call)}"
    took = sum(n * report.time_us for n, report in each)
    rate, peak = moved / took / 1e3, metrics.dram_peak_gbps(call.reports[0])
    copy = call.ceilings.copy_gbps if call.ceilings else None
    against = f"; the measured copy reaches {percent(copy / peak)}" if copy and peak else ""
    of = f" of {peak / 1e3:.2f} TB/s ({100 * rate / peak:.0f} %{against})" if peak else " TB/s"
    yield (
        f"TRAFFIC  DRAM {moved / 1e6:.1f} MB ({read:.1f} read + {written:.1f} written){needed}; "
        f"{rate / 1e3:.2f}{of}{_asked_of_l2(call)}"
    )


def _left(call: Call) -> str:
    """Say what has not crossed the interface yet, and so makes the profiled kernel look shorter."""
    left, back = calls.left_in_l2(call), calls.write_back_us(call)
    if not left:
        return ""
    takes = f": {back:.1f} us to write back" if back else ""
    return f" ({left / 1e6:.0f} MB of the result are still in the L2 at its end{takes})"


def _asked_of_l2(call: Call) -> str:
    """Say how often the input crosses from the L2 to the SMs: what a cache hides from DRAM."""
    asked, work = calls.l2_read_bytes(call), call.work
    if asked is None or work is None or not work.bytes_read:
        return ""
    ratio = asked / work.bytes_read
    return f"; SMs read {asked / 1e6:.0f} MB from the L2, {ratio:.2f}x the input"


def _needed_rate(call: Call) -> Iterator[str]:
    """Say what rate the needed bytes alone amount to, where nobody counted those that moved."""
    took, work = calls.time_us(call), call.work
    if work is None or not took or call.cpu is not None:
        return
    rate, copy = work.bytes_needed / took / 1e3, call.ceilings.copy_gbps if call.ceilings else None
    of = f" of {copy / 1e3:.2f} TB/s measured copy ({percent(rate / copy)})" if copy else " TB/s"
    apart = work.unfused_bytes
    unfused = f"; one kernel per operator would move {apart / 1e6:.0f} MB" if apart else ""
    yield f"RATE  {work.bytes_needed / 1e6:.1f} MB needed are {rate / 1e3:.2f}{of}{unfused}"


def kernel(report: KernelReport) -> Iterator[str]:
    """Yield what matters inside one kernel."""
    yield from _ceilings(report)
    yield from _occupancy(report)
    yield from _stalls(report)
    yield from _hot(report)
    yield from _memory(report)
    yield from _arithmetic(report)


def _ceilings(report: KernelReport) -> Iterator[str]:
    units = {"DRAM": "dram_pct", "L2": "l2_pct", "L1": "l1_pct", "SM": "sm_pct"}
    busy = {name: reading(report, key) for name, key in units.items()}
    known = sorted(((pct, name) for name, pct in busy.items() if pct is not None), reverse=True)
    hits = [
        f"{name} hit {pct:.0f} %"
        for name, key in (("L1", "l1_hit_pct"), ("L2", "l2_hit_pct"))
        if (pct := reading(report, key)) is not None
    ]
    if known:
        yield (
            "BUSY  "
            + ", ".join(f"{name} {pct:.0f} %{_yardstick(name, report)}" for pct, name in known)
            + " of peak"
            + "".join(f"; {hit}" for hit in hits)
        )


# What copies and sums at 1.0 to 1.1 times their floor show on an H200 (copy, add, row_sum of the
# zoo): an L2 as busy as that is no limit of its own.
L2_OF_A_STREAM = {"sm_90": "a plain copy: 89"}


def _yardstick(unit: str, report: KernelReport) -> str:
    words = L2_OF_A_STREAM.get(report.arch) if unit == "L2" else None
    busy = reading(report, "l2_pct") or 0.0
    return f" ({words})" if words and busy > 60 else ""  # noqa: PLR2004


def _occupancy(report: KernelReport) -> Iterator[str]:
    achieved, fits = reading(report, "occupancy_pct"), reading(report, "occupancy_limit_pct")
    if achieved is None or fits is None:
        return
    limits = work_rules.limits_in_words(report)
    words = f"OCCUPANCY  {achieved:.0f} % of an SM's warps, {fits:.0f} % fit"
    words += f", limited by {limits}" if limits and fits < 100 else ""  # noqa: PLR2004
    registers, shared = reading(report, "registers"), reading(report, "shared_kb")
    words += f"; {registers:.0f} registers/thread" if registers is not None else ""
    words += f", {shared:.1f} KB shared/block" if shared is not None else ""
    waves, balance = reading(report, "waves"), reading(report, "sm_balance_pct")
    words += f"; {waves:.2f} waves" if waves is not None else ""
    words += f", SMs active {balance:.0f} % of the longest" if balance is not None else ""
    lifted = work_rules.lift(report) if fits < 100 else None  # noqa: PLR2004
    yield f"{words}; {lifted.split(':')[0]}" if lifted else words


def _stalls(report: KernelReport) -> Iterator[str]:
    shares = {why: part for why, part in stalls.stall_shares(report).items() if why != "selected"}
    if not shares:
        return
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:SHOWN_STALLS]
    named = "; ".join(
        f"{percent(part)} {why} ({stalls.STALLS[why]})"
        for why, part in ranked
        if part > LEAST_STALL
    )
    ready, issued = reading(report, "eligible_warps"), reading(report, "issue_pct")
    idle = "" if issued is None else f"; issued in {issued:.0f} % of cycles"
    ready_words = "" if ready is None else f", {ready:.2f} warps ready"
    yield f"STALLS  a warp waits {named}{idle}{ready_words}"


def _hot(report: KernelReport) -> Iterator[str]:
    for spot in blame.hot_spots(report):
        if spot.share < 0.05:  # noqa: PLR2004
            return
        fed = f" for {spot.fed_by}" if spot.fed_by else ""
        near = f" (called near {spot.called_from})" if spot.called_from else ""
        yield (
            f"HOT  {percent(spot.share)} of waiting at {spot.where}{near}: {spot.sass} "
            f"({spot.reason}){fed}"
        )


def _memory(report: KernelReport) -> Iterator[str]:
    parts = []
    excess = reading(report, "excess_sectors_pct")
    if excess is not None:
        used = [
            f"{name} {value:.0f}"
            for name, key in (
                ("load", "load_bytes_per_sector"),
                ("store", "store_bytes_per_sector"),
            )
            if (value := reading(report, key))
        ]
        of = f" (bytes used per 32: {', '.join(used)})" if used else ""
        worst = _worst(report, excess_sectors) if excess >= WORTH_A_PLACE_PCT else ""
        parts.append(f"{excess:.0f} % of global sectors in excess{of}{worst}")
    conflicts, ways = reading(report, "bank_conflict_pct"), reading(report, "bank_conflict_nway")
    if conflicts is not None and ways:
        degree = f", worst {ways:.0f}-way" if ways > 1 and conflicts >= 1 else ""
        worst = _worst(report, excess_wavefronts) if conflicts >= WORTH_A_PLACE_PCT else ""
        cause = "atomics' turns" if _atomics_conflict(report) else "bank conflicts"
        parts.append(f"shared: {conflicts:.0f} % of wavefronts from {cause}{degree}{worst}")
    spilled, local = reading(report, "spill_instructions"), reading(report, "local_instructions")
    if spilled is not None and local is not None:
        parts.append(f"{spilled:.0f} spill, {local:.0f} local-memory instructions{_of_all(report)}")
    if parts:
        yield "MEMORY  " + "; ".join(parts)


def _of_all(report: KernelReport) -> str:
    """Say how small a part accesses to local memory are: thousands may be next to nothing."""
    local, every = reading(report, "local_instructions"), reading(report, "instructions_m")
    return f" ({percent(local / every / 1e6)} of all)" if local and every else ""


def _atomics_conflict(report: KernelReport) -> bool:
    """Tell whether most passes beyond the ideal are lanes of an atomic that meet in one word."""
    excess = {one.offset: max(0.0, excess_wavefronts(one)) for one in report.instructions}
    of_atomics = [one.offset for one in report.instructions if one.opcode.startswith("ATOM")]
    return sum(excess[one] for one in of_atomics) > sum(excess.values()) / 2


def _worst(report: KernelReport, excess: Callable[[Instruction], float]) -> str:
    """Return the accesses with the largest excess, so that they can be acted on."""
    totals: dict[str, float] = {}
    for one in report.instructions:
        access = f"{one.opcode} at {blame.where(one)}"
        totals[access] = totals.get(access, 0.0) + max(0.0, excess(one))
    worst, whole = max(totals, key=lambda access: totals[access], default=""), sum(totals.values())
    return f", {percent(totals[worst] / whole)} of it by {worst}" if whole else ""


def _arithmetic(report: KernelReport) -> Iterator[str]:
    pipes = {
        "fma": "fma_pct",
        "alu": "alu_pct",
        "xu": "xu_pct",
        "fp64": "fp64_pct",
        "tensor": "tensor_pct",
    }
    busy = {name: reading(report, key) for name, key in pipes.items()}
    shown = sorted(((pct, name) for name, pct in busy.items() if pct and pct >= 1), reverse=True)
    parts = ["pipes " + ", ".join(f"{name} {pct:.0f} %" for pct, name in shown)] if shown else []
    rate, peak = metrics.fp32_tflops(report), metrics.fp32_peak_tflops(report)
    if rate is not None and peak:
        parts.append(f"fp32 {rate:.1f} of {peak:.0f} TFLOP/s")
    if report.opcodes:
        parts.append(_matrix_work(report))
    lanes = reading(report, "lanes_pct")
    if lanes is not None:
        parts.append(f"{lanes:.0f} % of lanes on")
    parts += _clock(report)
    if parts:
        yield "ARITHMETIC  " + "; ".join(parts)


def _clock(report: KernelReport) -> list[str]:
    """Say at which clock the kernel was profiled: busy pipes and times hold for that one."""
    clock = reading(report, "sm_clock_ghz")
    boost = report.counters.get("device__attribute_clock_rate", 0.0) / 1e6
    if not clock:
        return []
    held_back = ", as under a power or heat limit" if clock < HELD_BACK * boost else ""
    return [f"SM clock {clock:.2f}" + (f" of {boost:.2f}" if boost else "") + f" GHz{held_back}"]


# The kinds of matrix instruction, and what an author writes to get them (PTX ISA, "warp-level" and
# "asynchronous warpgroup-level matrix instructions").
_WRITTEN_AS = {"GMMA": "wgmma", "DMMA": "mma.sync in double", "MMA": "mma.sync"}
# Measured on an H200: mma.sync reaches about two thirds of what wgmma does.
_BELOW_WGMMA = {"sm_90": ", which reach about two thirds of wgmma's rate at most"}


def _matrix_work(report: KernelReport) -> str:
    """Return how many matrix instructions of which kind ran, and what that kind can reach."""
    kinds: dict[str, int] = {}
    for opcode, executed in report.opcodes.items():
        name = opcode.split(".")[0]
        if "MMA" in name:
            kinds[name] = kinds.get(name, 0) + executed
    if not sum(kinds.values()):
        return "no matrix instruction"
    most = max(kinds, key=lambda name: kinds[name])
    written = next(words for end, words in _WRITTEN_AS.items() if end in most)
    limit = _BELOW_WGMMA.get(report.arch, "") if written == "mma.sync" else ""
    return f"{count(sum(kinds.values()))} matrix instructions, {most} ({written}){limit}"


def compiled(call: Call) -> Iterator[str]:
    """Yield the compiler's resource report, where no counters say it better."""
    if call.static is None or call.reports or call.cpu is not None:
        return
    for one in call.static.kernels[:3]:
        yield (
            f"COMPILED  {one.name} for {one.arch}: {one.registers} registers, "
            f"{one.shared_bytes} B shared, {one.stack_bytes} B stack, "
            f"spills {one.spill_store_bytes} B out {one.spill_load_bytes} B in"
        )
    for each in call.static.opcodes[:2]:
        ranked = sorted(each.counts.items(), key=lambda item: -item[1])
        memory = [
            f"{name} {n}" for name, n in ranked if name.startswith(("LD", "ST", "ATOM", "RED"))
        ]
        heavy = [
            f"{name} {n}"
            for name, n in ranked
            if "MMA" in name or name.startswith(("D", "MUFU", "BAR"))
        ]
        yield f"SASS  {each.name}: {', '.join((memory + heavy)[:10])} (places in the code)"


def processor(call: Call) -> Iterator[str]:
    """Yield the CPU's part: rates against measured ceilings, operators, loops, counters."""
    if call.cpu is None:
        return
    yield from _rates(call)
    yield from _threads(call)
    yield from _operators(call)
    yield from _loops(call)
    yield from _hardware(call.cpu)


def _threads(call: Call) -> Iterator[str]:
    """Yield each thread's time, and whether anything kept them from a core."""
    run = call.cpu
    if run is None or not run.thread_seconds:
        return
    shown = [plain.duration(1e6 * one) for one in run.thread_seconds[:SHOWN_THREADS]]
    more = len(run.thread_seconds) - len(shown)
    words = f"THREADS  CPU time a call: {', '.join(shown)}"
    words += f" and {more} more" if more > 0 else ""
    wall = run.wall_seconds
    words += f"; {plain.duration(1e6 * wall)} on the wall" if wall else ""
    words += f"; mean of {run.calls} calls" if run.calls and run.calls > 1 else ""
    if run.system_share is not None and run.page_faults is not None:
        words += f"; {percent(run.system_share)} in the kernel, {run.page_faults:,} page faults"
    if run.waited_share and run.waited_share >= WORTH_A_WAIT:
        waited = percent(run.waited_share)
        words += f"; threads had no core {waited} of their time: other programs run here"
    yield words


def _hardware(run: CpuRun) -> Iterator[str]:
    """Yield the hardware's counters, or why there are none."""
    if run.cycles and run.instructions:
        parts = [f"{run.instructions / run.cycles:.2f} instructions/cycle"]
        if run.cache_misses is not None:
            parts.append(f"{run.cache_misses / 1e6:.1f} M last-level cache misses")
        if run.branch_misses is not None:
            parts.append(f"{run.branch_misses / 1e6:.1f} M branch misses")
        yield f"COUNTERS  {', '.join(parts)} (user space, per call)"
    elif run.counters_closed:
        yield f"COUNTERS  n/a: {run.counters_closed}"


def _operators(call: Call) -> Iterator[str]:
    """Yield torch's operators by self time, and what is left to other code."""
    every = call.trace.operators if call.trace else ()
    # Shares are of the very call that the profiler saw: the judge's median is another one's.
    took = (call.trace and call.trace.wall_us) or calls.time_us(call)
    if not every or not took:
        return
    heavy = [one for one in every if one.self_us >= LEAST_OPERATOR * took]
    named = [
        f"{one.name} {plain.duration(one.self_us)} {percent(one.self_us / took)} x{one.calls}"
        + _rate_of(one, call)
        + (f" {one.shapes}" if one.shapes else "")
        for one in heavy[:SHOWN_OPERATORS]
    ]
    own = took - sum(one.self_us for one in every)
    if own >= LEAST_OPERATOR * took:
        named.insert(0, f"outside torch's operators {plain.duration(own)} {percent(own / took)}")
    yield f"OPERATORS  {'; '.join(named)}"


# An operator that hands its work to another keeps the bytes and not the time.
_MOST_OF_A_COPY = 4
# Bound by operations: bytes a second say nothing of these.
_COMPUTES = re.compile(r"(?:mm|conv\w*|linear|dot|attention)$")


def _rate_of(one: Operator, call: Call) -> str:
    if not one.bytes_moved or not one.self_us or _COMPUTES.search(one.name):
        return ""
    rate, copy = one.bytes_moved / one.self_us / 1e3, call.ceilings and call.ceilings.copy_gbps
    return "" if copy and rate > _MOST_OF_A_COPY * copy else f" {rate:.1f} GB/s"


_RATES = {
    "cpu_gbps": "of {ceiling:.4g} GB/s measured copy ({share})",
    "cpu_gflops": "of {ceiling:.4g} GFLOP/s measured matmul ({share})",
    "threads_used": "of {ceiling:.0f} threads worked",
}


def _rates(call: Call) -> Iterator[str]:
    parts = []
    for metric in calls.metrics_of(call):
        words = _RATES.get(metric.key)
        if words is None:
            continue
        against = metric.unit
        if metric.ceiling:
            if metric.key == "cpu_gflops" and metric.value < LEAST_RATE * metric.ceiling:
                continue  # bytes bind such an operation, and a matmul's rate says nothing about it
            share = percent(metric.value / metric.ceiling)
            against = words.format(ceiling=metric.ceiling, share=share)
        parts.append(f"{metric.value:.4g} {against}")
    if parts:
        yield "RATES  " + "; ".join(parts)


def _loops(call: Call) -> Iterator[str]:
    flags = call.static.host_flags if call.static else None
    compiled = "" if flags is None else f"compiled with {flags or 'no flags'}; "
    loops = calls.innermost_loops(call)
    if not loops:
        if flags is not None:
            yield f"LOOPS  {compiled}the compiler looked at none of the candidate's own"
        return
    done = [
        f"{loop.place} ({loop.vector_bytes} B{_how(loop)})" for loop in loops if loop.vector_bytes
    ]
    missed = [f"{loop.place} ({loop.reason})" for loop in loops if not loop.vector_bytes]
    yes, no = (_several(part) for part in (done, missed))
    yield f"LOOPS  {compiled}vectorised: {yes}; not: {no}"


def _how(loop: Loop) -> str:
    if loop.by_hand:
        return ", by hand"
    return ", sums in order" if loop.in_order else ""


def _several(loops: Sequence[str]) -> str:
    more = f" and {len(loops) - SHOWN_LOOPS} more" if len(loops) > SHOWN_LOOPS else ""
    return (", ".join(loops[:SHOWN_LOOPS]) or "none") + more


# NVIDIA's rules in our words: the messages in a report come from where candidates run, and half of
# each is general advice. None: true of any kernel, or out of an author's hands.
_CONFLICTS = "shared-memory bank conflicts"
_UNCOALESCED = "uncoalesced global accesses (counted before L1)"
_PER_SECTOR = "bytes used per sector (before L1)"
# What counts the same exactly, access by access.
_EXACT = {
    _CONFLICTS: "bank_conflict_pct",
    _UNCOALESCED: "excess_sectors_pct",
    _PER_SECTOR: "excess_sectors_pct",
}
RULE_WORDS: dict[str, str | None] = {
    "UncoalescedGlobalAccess": _UNCOALESCED,
    "UncoalescedSharedAccess": _CONFLICTS,
    "SharedMemoryConflicts": _CONFLICTS,
    "LaunchConfiguration": "grid size and tail wave (assumes equal blocks)",
    "CPIStall": "the main stall reason (capped at 100 - memory busy)",
    "IssueSlotUtilization": "empty issue slots (capped at 100 - busiest unit)",
    "MemoryCacheAccessPattern": _PER_SECTOR,
    "TheoreticalOccupancy": "warps that fit an SM",
    "AchievedOccupancy": "warps resident against warps that fit",
    "FPInstructions": "multiplies and adds that are not fused",
    "ThreadDivergence": "lanes switched off",
    "WorkloadImbalance": "SMs, slices or channels that differ in work",
    "LocalMemoryUsage": "local memory",
    "SlowPipeLimiter": "a slow arithmetic pipe",
    "Uncoalesced": "uncoalesced accesses",
    "MemoryL2Compression": None,
    "HighPipeUtilization": None,
    "PCSamplingData": None,
    "NvlinkTable": None,
    "NUMA": None,
}


def rules(call: Call) -> Iterator[str]:
    """Yield NVIDIA's own estimates for the heaviest kernel, filtered to what one can act on.

    Some are of the kernel's time, others only of how busy the rule's own unit is.
    """
    every = tuple(_every_rule(calls.heaviest(call, most=1)))
    overall = _largest(rule for rule in every if rule.overall)
    local = _largest(rule for rule in every if not rule.overall)
    parts = [_estimates(overall, most=SHOWN_RULES)] if overall else []
    apart = {words: estimate for words, estimate in local.items() if words not in overall}
    if apart:
        parts.append(f"{_OF_THE_UNIT}: {_estimates(apart, most=SHOWN_LOCAL_RULES)}")
    if parts:
        yield f"NVIDIA'S RULES, upper bounds that overlap  {'; '.join(parts)}"


# NvRules' two types of estimate, "global" and "local" (Nsight Compute's customization guide).
_OF_THE_UNIT = "not of the time, only within their own unit"


def _largest(rules: Iterable[Rule]) -> dict[str, float]:
    best: dict[str, float] = {}
    for rule in rules:
        words = RULE_WORDS.get(rule.identifier) or rule.identifier
        best[words] = max(rule.estimate_pct, best.get(words, 0.0))
    return best


def _estimates(best: dict[str, float], *, most: int) -> str:
    ranked = sorted(best.items(), key=lambda item: -item[1])[:most]
    return "; ".join(f"{estimate:.0f} % {words}" for words, estimate in ranked)


def _every_rule(reports: Iterable[KernelReport]) -> Iterator[Rule]:
    for report in reports:
        for rule in report.rules:
            if (
                RULE_WORDS.get(rule.identifier, rule.identifier) is not None
                and rule.estimate_pct >= LEAST_ESTIMATE_PCT
                and not _refuted(rule, report)
            ):
                yield rule


def _refuted(rule: Rule, report: KernelReport) -> bool:
    """Tell whether the exact count per access says otherwise.

    Rules on conflicts count arbitration too, those on sectors a lone store of a word per block.
    """
    exact = _EXACT.get(RULE_WORDS.get(rule.identifier) or "")
    counted = reading(report, exact) if exact else None
    return counted is not None and counted < 1


# A device lacks a metric or two; more were not collected.
MOST_LOST = 8
_COLLECT = "; most come with ncu --set full --import-source yes"


def unknown(call: Call) -> Iterator[str]:
    """Yield what this device, ncu version or set of sections did not measure."""
    if not call.reports:
        return
    report = call.reports[0]
    lost = metrics.missing(report)
    if not lost:
        return
    reasons = [key for key in lost if key.startswith("stall_")]
    named = [key for key in lost if not key.startswith("stall_")]
    named += ["all stall reasons"] if len(reasons) == len(stalls.STALLS) else reasons
    shown = ", ".join(named[:12]) + (f" and {len(named) - 12} more" if len(named) > 12 else "")  # noqa: PLR2004
    fewer = _COLLECT if len(named) > MOST_LOST else ""
    yield f"N/A  on {plain.operator(report.arch)} with the sections collected: {shown}{fewer}"
