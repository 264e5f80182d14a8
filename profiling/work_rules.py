"""What costs time in how the work is spread and computed: occupancy, tails, branches, pipes.

Each rule is one function from a `Case` to a finding or None; `findings` ranks them.
"""

import math

from refine_agent.profiling import blame
from refine_agent.profiling.case import Case
from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.metrics import tensor_instructions
from refine_agent.profiling.plain import percent
from refine_agent.profiling.records import Finding
from refine_agent.profiling.roofline import TENSOR_PRECISIONS

# Half the warps of an SM usually hide memory latency; above it, occupancy is no explanation
# (Volkov, "Better performance at lower occupancy", GTC 2010).
LOW_OCCUPANCY_PCT = 50.0
_LIMITERS = {
    "registers": "occupancy_registers",
    "shared_mem": "occupancy_shared",
    "blocks": "occupancy_blocks",
    "warps": "occupancy_blocks",
    "barriers": "occupancy_blocks",
}


_LARGER_BLOCKS = "use larger blocks (more warps each), or more independent work per thread"


def occupancy(case: Case) -> Finding | None:
    """Too few warps fit an SM to hide latency, and what stops more of them."""
    fits, room = case.pct("occupancy_limit_pct"), case.latency_room
    if not fits or room is None or fits > LOW_OCCUPANCY_PCT or (case.pct("waves") or 0) < 1:
        return None
    limits = limiting(case.report)
    # Tiles of a matrix product fill shared memory and registers by design: fewer of either, and the
    # tensor cores starve.
    if tensor_instructions(case.report) and "shared_mem" in limits:
        return None
    kind = _LIMITERS.get(limits[0], "occupancy_blocks") if limits else "occupancy_blocks"
    return Finding(
        kind=kind,
        severity=(1 - fits / 100) * case.hideable * room,
        text=f"only {fits:.0f} % of an SM's warps fit, limited by {limits_in_words(case.report)}"
        f"{_taken(case)}, while warps wait for latency",
        advice=lift(case.report) or _LARGER_BLOCKS,
    )


def _taken(case: Case) -> str:
    """Return what a launch takes of an SM, as far as it was recorded."""
    registers, shared = case.pct("registers"), case.pct("shared_kb")
    if registers is None or shared is None:
        return ""
    return f" ({registers:.0f} registers/thread, {shared:.1f} KB/block)"


def limiting(report: KernelReport) -> tuple[str, ...]:
    """Return what limits blocks per SM most: registers, shared_mem, warps, blocks or barriers."""
    counts = {
        what: report.counters.get(f"launch__occupancy_limit_{what}", math.inf) for what in _LIMITERS
    }
    least = min(counts.values())
    found = [what for what, count in counts.items() if count == least and count < math.inf]
    # The driver sizes the carve-out of shared memory for the blocks that fit otherwise, so that a
    # tie with it says nothing where the SM has more to give.
    if len(found) > 1 and _more_shared_fits(report):
        found = [what for what in found if what != "shared_mem"]
    # Nor does one with the barriers, of which an SM has one for each of its blocks.
    if "blocks" in found:
        found = [what for what in found if what != "barriers"]
    return tuple(found)


def _more_shared_fits(report: KernelReport) -> bool:
    """Tell whether one more block would fit an SM's shared memory at its largest carve-out."""
    blocks = report.counters.get("launch__occupancy_limit_shared_mem", math.inf)
    block = report.counters.get("launch__shared_mem_per_block_allocated", math.inf)
    per_sm = report.counters.get("device__attribute_max_shared_memory_per_multiprocessor", 0.0)
    return (blocks + 1) * block <= per_sm


def lift(report: KernelReport) -> str | None:
    """Say what would let more warps fit, by the report's own occupancy curves; None if nothing."""
    limits = limiting(report)
    if "registers" in limits:
        return _fewer_registers(report)
    if "shared_mem" in limits:
        return _less_shared(report)
    return None


def _fewer_registers(report: KernelReport) -> str | None:
    now = report.counters.get("launch__registers_per_thread")
    steps = report.warps_by_registers
    if now is None or not steps:
        return None
    present = next((warps for most, warps in sorted(steps.items()) if most >= now), None)
    better = [most for most, warps in steps.items() if present and warps > present]
    if not better or present is None:
        return None
    # One step up may win little: name the least cut that gives a quarter more warps.
    enough = [most for most in better if steps[most] >= 1.25 * present]
    target = max(enough or better)
    return (
        f"{steps[target]} instead of {present} warps per SM fit at <= {target} registers per "
        f"thread (now {now:.0f}): shrink live state or bound it with __launch_bounds__"
    )


def _less_shared(report: KernelReport) -> str | None:
    per_sm = report.counters.get("device__attribute_max_shared_memory_per_multiprocessor")
    blocks = report.counters.get("launch__occupancy_limit_shared_mem")
    now = report.counters.get("launch__shared_mem_per_block")
    if not per_sm or not blocks or not now:
        return None
    if _more_shared_fits(report):
        return (
            f"the carve-out of shared memory holds {blocks:.0f} block(s), the SM has more: raise "
            "cudaFuncAttributePreferredSharedMemoryCarveout"
        )
    return (
        f"{blocks:.0f} block(s) of {now / 1e3:.0f} KB shared memory fit an SM; {blocks + 1:.0f} "
        f"fit at <= {per_sm / (blocks + 1) / 1e3 - 1:.0f} KB: use smaller tiles or keep part in "
        "registers"
    )


_WORDS = {
    "shared_mem": "shared memory",
    "blocks": "the blocks that an SM holds",
    "warps": "the block size",
}


def limits_in_words(report: KernelReport) -> str:
    """Return what limits the warps that fit an SM, as pages print it."""
    return " and ".join(_WORDS.get(what, what) for what in limiting(report))


def tail(case: Case) -> Finding | None:
    """A last, mostly empty wave of blocks in which most SMs wait for a few."""
    waves, near = case.pct("waves"), case.near
    if waves is None or near is None or not 1 < waves <= 6:  # noqa: PLR2004  (beyond, a sixth at most)
        return None
    lost = 1 - waves / math.ceil(waves)
    balance, there = case.pct("sm_balance_pct"), case.pct("occupancy_pct")
    fits = case.pct("occupancy_limit_pct")
    # What was not measured is not claimed.
    idle_sms = 0.0 if balance is None else 1 - balance / 100
    unfilled = 1 - there / fits if there is not None and fits else 0.0
    if idle_sms <= 0 and unfilled <= 0:
        return None
    return Finding(
        kind="tail",
        severity=min(lost, max(idle_sms, unfilled), 1 - near),
        text=f"{waves:.2f} waves of blocks: the last one fills {percent(waves % 1)} of the device; "
        + (
            f"SMs are active {percent(1 - idle_sms)} of the longest one's time"
            if idle_sms > unfilled
            else f"{there:.0f} % of an SM's warps are there, {fits:.0f} % fit"
        ),
        advice="choose block size or rows per block so that the grid is a whole number of waves, "
        "or launch one wave and loop over the work (grid stride)",
    )


# A quarter of the warps that fit (16 of 64) with 16 bytes per lane keep 8 KB per SM on their way, a
# third of what hides some 700 ns at an H200's bandwidth (Little's law): there more warps must come
# first. Up to half of them, wider loads do as well.
FEW_WAVES = 0.25
ENOUGH_WAVES = 0.5


def few_blocks(case: Case) -> Finding | None:
    """A grid too small for the device."""
    blocks, sms = case.counter("launch__grid_size"), case.counter("launch__sm_count")
    waves, near, room = case.pct("waves"), case.near, case.latency_room
    if not blocks or not sms or waves is None or near is None or room is None:
        return None
    if blocks >= sms and waves >= ENOUGH_WAVES:
        return None
    if blocks < sms:
        severity = min(1 - blocks / sms, 1 - near)
    else:
        severity = (1 - waves) * case.hideable * room
    return Finding(
        kind="few_blocks",
        severity=severity,
        text=f"{blocks:.0f} blocks for {sms:.0f} SMs ({waves:.2f} of a wave)",
        advice="split the work into more blocks: fewer rows per block, several blocks per row with "
        "a second reduction step, or split-K",
    )


# Copies and sums that nobody would call unbalanced reach 97 to 100 % (the zoo's healthy ones).
BALANCED_PCT = 95.0
# SMs lie at different distances from the memory they read and share GPCs of unequal sizes.
_FIXED_SHARES = "one wave of blocks with fixed shares, and not all SMs are equally fast"
_DEAL = (
    "deal the work at run time (each block takes its next piece from a counter), or launch a block "
    "per piece"
)
_EVEN_OUT = (
    "cut the work into equal pieces, start the long ones first, or let blocks fetch work from a "
    "counter"
)


def imbalance(case: Case) -> Finding | None:
    """Some SMs work much longer than others although all have blocks."""
    balance, waves, near = case.pct("sm_balance_pct"), case.pct("waves"), case.near
    blocks, sms = case.counter("launch__grid_size"), case.counter("launch__sm_count")
    if waves is None or near is None or not sms or blocks < sms:
        return None
    if not balance or balance > BALANCED_PCT:
        return None
    # Blocks of equal work leave this much idle by themselves: in the last wave, or in a single one
    # because blocks do not divide by the SMs.
    rounds = waves if waves > 1 else blocks / sms
    lost = 1 - rounds / math.ceil(rounds) if rounds <= 6 else 0.0  # noqa: PLR2004
    if lost >= 1 - balance / 100:
        return None
    return Finding(
        kind="imbalance",
        severity=min(1 - balance / 100, 1 - near),
        text=f"SMs are active {balance:.0f} % of the longest one's time: "
        + (_FIXED_SHARES if waves <= 1 else "blocks differ in work"),
        advice=_DEAL if waves <= 1 else _EVEN_OUT,
    )


def divergence(case: Case) -> Finding | None:
    """Warps whose lanes take different branches, one after the other."""
    lanes, busy, near = case.pct("lanes_pct"), case.pct("sm_pct"), case.memory_near
    if busy is None or near is None:
        return None
    if not lanes or lanes > 75:  # noqa: PLR2004  (bounds checks and tails of rows cost that much)
        return None
    every = case.report.instructions
    where = blame.line_of_most(every, lambda one: one.divergent)
    return Finding(
        kind="divergence",
        # Lanes that are off cost the slots of their instructions, which idle SMs have to spare.
        severity=(1 - lanes / 100) * (1 - near) * busy / 100,
        text=f"{lanes / 100 * 32:.0f} of 32 lanes work in the average instruction",
        # Short branches become predicates, and no branch is counted: the lines that lose the lanes.
        where=where or blame.line_of_most(every, lambda one: 32 * one.executed - one.threads),
        advice="make the condition uniform over a warp (branch on warp or block index, sort or "
        "compact the work), or compute both sides and select",
    )


def dependency_chain(case: Case) -> Finding | None:
    """Warps that wait for their own previous arithmetic."""
    waits, room = case.waits, case.latency_room
    waiting = waits.get("wait", 0) + waits.get("short_scoreboard", 0) / 2
    if waiting < 0.4 or room is None or room < 0.3:  # noqa: PLR2004
        return None
    return Finding(
        kind="dependency_chain",
        severity=waiting * room,
        text=f"{percent(waiting)} of waiting is for the warp's own previous result",
        where=blame.line_of_most(case.report.instructions, lambda one: one.stalls.get("wait", 0)),
        advice="give each thread independent work: several accumulators, unrolled loops",
    )


_SYNCHRONISE_LESS = (
    "reduce within warps by shuffles first, synchronise once per tile and not per step, "
    "use smaller blocks, or give every warp the same work between barriers"
)
_MEET_LESS = (
    "arrive early and wait late (barrier.cluster.arrive, work, barrier.cluster.wait), or let an "
    "mbarrier per stage tell each block what it needs, so that none waits for all others"
)


def barriers(case: Case) -> Finding | None:
    """Warps that wait for the rest of their block, or of their cluster."""
    waiting, stalled = case.waits.get("barrier", 0), case.stalled
    if waiting < 0.2 or stalled is None:  # noqa: PLR2004  (a block reduction or two are worth less)
        return None
    if case.held(blame.spins(case.report)) > LEAST_SPIN:
        return None
    every = case.report.instructions
    of_clusters = [one for one in every if one.opcode.startswith("UCGABAR")]
    of_blocks = [one for one in every if one.opcode.startswith("BAR")]
    clusters = case.held(of_clusters) > case.held(of_blocks)
    return Finding(
        kind="barriers",
        severity=waiting * stalled,
        text=f"{percent(waiting)} of waiting is at "
        + ("barriers, most of it for the blocks of a cluster" if clusters else "__syncthreads"),
        where=blame.line_charged_most(case.report, of_clusters if clusters else of_blocks),
        advice=_MEET_LESS if clusters else _SYNCHRONISE_LESS,
    )


# One warp in sixteen that spins while fifteen wait at the barrier has no more samples than that.
LEAST_SPIN = 0.01


def grid_wait(case: Case) -> Finding | None:
    """Blocks that wait for each other; a barrier behind only passes on what one warp spins for."""
    spinning = blame.spins(case.report)
    spun, waits, stalled = case.held(spinning), case.waits, case.stalled
    if spun <= LEAST_SPIN or stalled is None:
        return None
    waiting = min(1.0, spun + waits.get("barrier", 0) + waits.get("sleeping", 0))
    if waiting < 0.2:  # noqa: PLR2004  (what a lone counter at the end costs)
        return None
    return Finding(
        kind="grid_wait",
        severity=waiting * stalled,
        text=f"{percent(waiting)} of waiting is for words that other blocks publish, spun for by "
        "loads that bypass the L1: a grid-wide wait",
        where=blame.line_charged_most(case.report, spinning)
        or blame.line_of_most(spinning, lambda one: one.executed),
        advice="publish earlier and use later: work on the next piece between publishing and "
        "reading, and let fewer blocks meet",
    )


_FP64 = (
    "DADD",
    "DMUL",
    "DFMA",
    "DSETP",
    "DMNMX",
    "F2F.F64",
    "F2F.F32.F64",
    "MUFU.RCP64",
    "MUFU.RSQ64",
)


def wrong_pipe(case: Case) -> Finding | None:
    """Double-precision arithmetic in an operation that does not ask for it."""
    asked = case.work is not None and any(flops.precision == "fp64" for flops in case.work.flops)
    if asked:
        return None
    executed = sum(n for opcode, n in case.report.opcodes.items() if opcode.startswith(_FP64))
    whole = sum(case.report.opcodes.values())
    doubles = [one for one in case.report.instructions if one.opcode.startswith(_FP64)]
    if not executed or executed / whole < 0.02:  # noqa: PLR2004  (one division per row is harmless)
        return None
    held, busy = case.held(doubles), case.pct("fp64_pct") or 0.0
    near = 1.0 if case.memory_near is None else case.memory_near  # unmeasured: the least at stake
    return Finding(
        kind="wrong_pipe",
        severity=max(held, busy / 100) * (1 - near * 0.5),
        text=f"{percent(executed / whole)} of instructions are double precision or conversions "
        f"to it{_pipe_busy(case, 'FP64', 'fp64_pct')}",
        where=blame.line_of_most(doubles, lambda one: one.executed),
        advice="write float constants (0.5f) and float functions (sqrtf, expf, fmaxf)",
    )


def _pipe_busy(case: Case, pipe: str, key: str) -> str:
    busy = case.pct(key)
    return "" if busy is None else f" ({pipe} pipe {busy:.0f} % busy)"


def no_tensor_cores(case: Case) -> Finding | None:
    """A matrix product on the plain pipes where tensor cores are allowed and bytes do not bind."""
    if case.work is None or tensor_instructions(case.report) is None:
        return None
    if case.needs_tensor_cores is False:
        return None
    allowed = [
        flops for flops in case.work.flops if flops.matrix and flops.precision in TENSOR_PRECISIONS
    ]
    if not allowed or tensor_instructions(case.report):
        return None
    return Finding(
        kind="no_tensor_cores",
        severity=0.9 * case.room if case.room < 1 else 0.5,
        text=f"no matrix instruction was executed, although the operation is "
        f"{allowed[0].precision} matrix work{_pipe_busy(case, 'FP32', 'fma_pct')}",
        advice="use tensor cores: mma.sync or wmma, on sm_90 wgmma with TMA",
    )


_PIPES = {
    "special_functions": ("MUFU", "F2F", "F2I", "I2F", "FRND"),
    "integer_work": ("LOP3", "IADD3", "SHF", "ISETP", "LEA", "PRMT", "IMNMX", "SEL"),
}


def busy_pipe(case: Case) -> Finding | None:
    """Special functions or integer arithmetic that crowd out the useful work."""
    pipes = {
        "special_functions": (case.pct("xu_pct") or 0.0, "special-function and conversion pipe"),
        "integer_work": (case.pct("alu_pct") or 0.0, "integer and logic pipe"),
    }
    near = case.memory_near
    kind, (pct, name) = max(pipes.items(), key=lambda item: item[1][0])
    if pct < 60 or near is None or near > 0.8:  # noqa: PLR2004
        return None
    return Finding(
        kind=kind,
        severity=pct / 100 * 0.5,
        text=f"the {name} is {pct:.0f} % busy, memory {percent(near)}",
        where=blame.line_of_most(
            [one for one in case.report.instructions if one.opcode.startswith(_PIPES[kind])],
            lambda one: one.executed,
        ),
        advice="use fast intrinsics (__expf, __frcp_rn), fewer conversions"
        if kind == "special_functions"
        else "hoist index arithmetic out of the loop; avoid / and % by run-time values",
    )


def instruction_fetch(case: Case) -> Finding | None:
    """Code too long for the instruction cache, or a kernel too short to fill it."""
    waiting, room = case.waits.get("no_instruction", 0), case.latency_room
    if waiting < 0.25 or room is None:  # noqa: PLR2004
        return None
    return Finding(
        kind="instruction_fetch",
        severity=waiting * room,
        text=f"{percent(waiting)} of waiting is for instructions to be fetched",
        advice="unroll less, or give the kernel more work than its start costs",
    )
