"""What costs time in a kernel: cause, line, share of time at stake, advice.

Each rule is one function from a `Case` to a finding or None; `summary` ranks and prints them.
Estimates are deliberately capped by the distance to the floor, so that a healthy kernel has none.
"""

import math
from collections.abc import Callable

import msgspec

from refine_agent.profiling import blame
from refine_agent.profiling.evidence import Instruction, KernelReport
from refine_agent.profiling.metrics import reading, stall_shares, tensor_instructions
from refine_agent.profiling.plain import percent
from refine_agent.profiling.records import Finding, Work

# A library copy reaches 4.27 of 4.81 TB/s on an H200: nothing is to be won above that share of the
# DRAM's peak. Used where no ceiling was measured on the device itself.
REACHABLE_DRAM = 0.89
# Below a tenth of the time, estimates of this kind are noise.
LEAST_SEVERITY = 0.10
# Within 15 % of the measured ceiling a kernel is healthy: launch latency and the ramp at both ends
# of a 60 us kernel alone are several percent.
HEALTHY_DISTANCE = 0.15


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel with what is known around it.

    `room` is the fraction of its time above the measured floor, 1.0 where no floor is known.
    `work` is that of the whole call, given only where this kernel does nearly all of it.
    """

    report: KernelReport
    room: float = 1.0
    work: Work | None = None
    reachable_dram: float = REACHABLE_DRAM

    def pct(self, key: str) -> float:
        """Return a reading of the table, 0 where it was not measured."""
        return reading(self.report, key) or 0.0

    def counter(self, name: str) -> float:
        """Return a raw counter, 0 where it was not measured."""
        return self.report.counters.get(name, 0.0)

    @property
    def waits(self) -> dict[str, float]:
        """Return stall reasons as shares of the time in which a warp was held up."""
        shares = {
            why: part
            for why, part in stall_shares(self.report).items()
            if why not in {"selected", "not_selected"}
        }
        total = sum(shares.values())
        return {why: part / total for why, part in shares.items()} if total else shares

    @property
    def memory_near(self) -> float:
        """Return how near the memory system is to what it can reach, 0 to 1."""
        dram = self.pct("dram_pct") / 100 / self.reachable_dram
        return min(1.0, max(dram, self.pct("l2_pct") / 100))

    @property
    def near(self) -> float:
        """Return how near the nearest ceiling of any kind is, 0 to 1."""
        return min(1.0, max(self.memory_near, self.pct("sm_pct") / 100, self.pct("l1_pct") / 100))

    @property
    def idle(self) -> float:
        """Return the share of cycles in which a scheduler had nothing to issue."""
        issued = reading(self.report, "issue_pct")
        return 1.0 - (self.pct("sm_pct") if issued is None else issued) / 100

    @property
    def latency_room(self) -> float:
        """Return what hiding latency alone could win: idle issue slots under an idle ceiling."""
        return max(0.0, min(self.idle, 1.0 - self.near))


def diagnose(case: Case) -> tuple[Finding, ...]:
    """Return the kernel's findings, worst first; none for a kernel near its floor."""
    if case.room < HEALTHY_DISTANCE:
        return ()
    found = [finding for rule in RULES if (finding := rule(case)) is not None]
    capped = [
        msgspec.structs.replace(
            finding, severity=min(finding.severity, case.room), kernel=case.report.name
        )
        for finding in found
    ]
    listed = [
        finding for finding in _causes_first(case, capped) if finding.severity >= LEAST_SEVERITY
    ]
    return tuple(sorted(listed, key=lambda finding: -finding.severity))


# What these describe is often the effect of something else that was found too.
SYMPTOMS = {"scalar_loads", "latency", "dependency_chain"}
# An effect explained by a cause of at least this severity ranks behind it.
EXPLAINED = 0.15


def _causes_first(case: Case, found: list[Finding]) -> list[Finding]:
    causes = [one.severity for one in found if _explains(case, one)]
    strongest = max(causes, default=0.0)
    if strongest < EXPLAINED:
        return found
    return [
        msgspec.structs.replace(one, severity=min(one.severity, strongest) * 0.5)
        if one.kind in SYMPTOMS
        else one
        for one in found
    ]


def _explains(case: Case, one: Finding) -> bool:
    if one.kind == "few_blocks":
        return case.counter("launch__grid_size") < case.counter("launch__sm_count") or (
            case.pct("waves") < FEW_WAVES
        )
    return one.kind not in SYMPTOMS


def bank_conflicts(case: Case) -> Finding | None:
    """Shared-memory accesses of a warp that hit the same bank and are served one after another."""
    # Atomics that meet in one word are served in turn whatever the banks: `atomics` counts those.
    accesses = [one for one in case.report.instructions if not one.opcode.startswith("ATOM")]
    passes = sum(one.wavefronts for one in case.report.instructions)
    excess = sum(_excess_wavefronts(one) for one in accesses)
    if not passes or excess / passes < 0.1:  # noqa: PLR2004  (padding one row of 32 costs 3 %)
        return None
    worst = max(accesses, key=_excess_wavefronts, default=None)
    ways = f"{worst.nway}-way" if worst is not None and worst.nway > 1 else "some"
    return Finding(
        kind="bank_conflicts",
        severity=excess / passes * _shared_busy(case),
        text=f"{ways} shared-memory bank conflicts: {_count(excess)} of {_count(passes)} "
        f"wavefronts ({percent(excess / passes)}) are excess",
        where=blame.line_of_most(accesses, _excess_wavefronts),
        advice="pad the row by one element, or swizzle the index (column ^ row), so that the 32 "
        "lanes hit 32 banks",
    )


def _shared_busy(case: Case) -> float:
    """Return how near shared memory is to its peak, or how much of the waiting is for it."""
    waits = case.waits
    return max(
        case.counter("l1tex__data_pipe_lsu_wavefronts.avg.pct_of_peak_sustained_elapsed") / 100,
        waits.get("short_scoreboard", 0) + waits.get("mio_throttle", 0),
    )


def _excess_wavefronts(one: Instruction) -> float:
    return one.wavefronts - one.wavefronts_ideal


def uncoalesced_load(case: Case) -> Finding | None:
    """Global loads whose lanes lie far apart, so that most of each sector is thrown away."""
    return _wasted_sectors(
        case,
        opcodes=("LD",),
        kind="uncoalesced_load",
        verb="load",
        advice="let neighbouring lanes read neighbouring addresses; where the layout forbids it, "
        "load tiles by rows and transpose them in shared memory",
    )


def strided_store(case: Case) -> Finding | None:
    """Global stores whose lanes lie far apart, so that sectors are written in pieces."""
    return _wasted_sectors(
        case,
        opcodes=("ST",),
        kind="strided_store",
        verb="store",
        advice="stage the tile in shared memory and store it by rows, neighbouring lanes to "
        "neighbouring addresses",
    )


# A fifth of all sectors: below that, misaligned edges and broadcast loads explain it.
_LEAST_EXCESS = 0.2


def _wasted_sectors(
    case: Case, *, opcodes: tuple[str, ...], kind: str, verb: str, advice: str
) -> Finding | None:
    accesses = _accesses(case, opcodes)
    everything = sum(one.sectors for one in case.report.instructions)
    asked = sum(one.sectors for one in accesses)
    excess = sum(_excess_sectors(one) for one in accesses)
    if not everything or excess / everything < _LEAST_EXCESS:
        return None
    held = blame.share(case.report, [one for one in accesses if _excess_sectors(one) > 0])
    reached = _waste_beyond_l1(case, opcodes)
    used = 32 * (asked - excess) / asked
    return Finding(
        kind=kind,
        severity=max(
            excess / everything * held,
            reached / max(1.0, _sectors_beyond_l1(case)) * case.memory_near,
        ),
        text=f"each {verb} uses {used:.0f} of the 32 bytes of the sectors it touches: "
        f"{_count(excess)} of {_count(asked)} sectors are waste",
        where=blame.line_of_most(accesses, _excess_sectors),
        advice=advice,
    )


def _accesses(case: Case, opcodes: tuple[str, ...]) -> list[Instruction]:
    """Return the accesses to global memory whose opcodes start so."""
    return [
        one for one in case.report.instructions if one.sectors and one.opcode.startswith(opcodes)
    ]


def _sectors_beyond_l1(case: Case) -> float:
    """Return the sectors that global accesses ask of the L2: those that do not hit the L1."""
    asked = sum(one.sectors for one in case.report.instructions)
    return asked * (1 - case.pct("l1_hit_pct") / 100)


def _waste_beyond_l1(case: Case, opcodes: tuple[str, ...]) -> float:
    """Return the wasted sectors that reach the L2.

    What neighbouring accesses use later hits the L1 and wastes only its passes: where no more is
    asked of the L2 than the bytes need, nothing is wasted there. Stores always go through.
    """
    accesses = _accesses(case, opcodes)
    waste = sum(_excess_sectors(one) for one in accesses)
    if "ST" in opcodes:
        return waste
    ideal = sum(one.sectors_ideal for one in case.report.instructions)
    stores = sum(_excess_sectors(one) for one in _accesses(case, ("ST",)))
    return min(waste, max(0.0, _sectors_beyond_l1(case) - ideal - stores))


def _excess_sectors(one: Instruction) -> float:
    return one.sectors - one.sectors_ideal


def extra_traffic(case: Case) -> Finding | None:
    """More bytes over the DRAM interface than the operation needs."""
    moved = case.pct("dram_mb") * 1e6
    if case.work is None or not moved:
        return None
    ratio = moved / case.work.bytes_needed
    local = min(moved, _local_bytes_beyond_l1(case))
    waste = 32 * (_waste_beyond_l1(case, ("LD",)) + _waste_beyond_l1(case, ("ST",)))
    unexplained = (moved - local - waste) / case.work.bytes_needed
    if unexplained < 1.15:  # noqa: PLR2004  (write-back and ECC move about a tenth more)
        return None
    where = _second_pass(case)
    again = "; the data are read a second time there" if where else ""
    again += f"; up to {local / 1e6:.0f} MB of it are local memory's" if local else ""
    return Finding(
        kind="extra_traffic",
        severity=(1 - 1 / unexplained) * min(1.0, case.pct("dram_pct") / 100 / case.reachable_dram),
        text=f"{moved / 1e6:.0f} MB cross the DRAM interface, {case.work.bytes_needed / 1e6:.0f} "
        f"are needed ({ratio:.2f}x){again}",
        where=where,
        advice="keep what was read in registers or shared memory for the second use, or fold the "
        "passes into one (running mean and variance, online softmax)",
    )


def _local_bytes_beyond_l1(case: Case) -> float:
    """Return the bytes of local loads and stores that can have left the L1."""
    lanes, words = 32, {"64": 8, "128": 16}
    moved = sum(
        one.executed * lanes * words.get(one.opcode.rsplit(".", 1)[-1], 4)
        for one in case.report.instructions
        if one.opcode.startswith(("LDL", "STL"))
    )
    return moved * (1 - case.pct("l1_hit_pct") / 100)


def _second_pass(case: Case) -> str | None:
    """Return the last line that loads a large part of the input, if together they load it twice."""
    work = case.work
    if work is None:
        return None
    needed = work.bytes_read if work.bytes_read is not None else work.bytes_needed / 2
    by_line: dict[str, tuple[int, float]] = {}
    for one in case.report.instructions:
        if one.sectors and one.opcode.startswith("LDG"):
            first, total = by_line.get(blame.where(one), (one.offset, 0.0))
            by_line[blame.where(one)] = (first, total + 32 * one.sectors_ideal)
    # A quarter of the input: less is a parameter, not a pass.
    passes = {line: found for line, found in by_line.items() if found[1] > needed / 4}
    if len(passes) < 2 or sum(found[1] for found in passes.values()) < 1.3 * needed:  # noqa: PLR2004
        return None
    return max(passes, key=lambda line: passes[line][0])


def spills(case: Case) -> Finding | None:
    """Registers that did not fit and go to local memory, or arrays that cannot be registers."""
    local = case.pct("local_instructions")
    if not local:
        return None
    spilled = case.pct("spill_instructions")
    others = sum(
        case.counter(f"smsp__sass_inst_executed_op_{space}_{way}.sum")
        for space in ("global", "shared")
        for way in ("ld", "st")
    )
    accesses = [one for one in case.report.instructions if one.opcode.startswith(("LDL", "STL"))]
    held = blame.share(case.report, accesses)
    registers = f"at {case.pct('registers'):.0f} registers per thread"
    cause = "spilled registers" if spilled else "arrays in local memory"
    return Finding(
        kind="spills" if spilled else "local_arrays",
        severity=max(held, local / (local + others) * case.near),
        text=f"{cause}: {_count(local)} local loads and stores {registers}, "
        f"{percent(local / (local + others))} of all memory instructions",
        where=blame.line_charged_most(case.report, accesses)
        or blame.line_of_most(accesses, lambda one: one.executed),
        advice="hold fewer values per thread or raise the register limit (__launch_bounds__, "
        "-maxrregcount)"
        if spilled
        else "index the array with constants (unroll the loop) so that it becomes registers",
    )


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


def occupancy(case: Case) -> Finding | None:
    """Too few warps fit an SM to hide latency, and what stops more of them."""
    fits = case.pct("occupancy_limit_pct")
    if not fits or fits > LOW_OCCUPANCY_PCT or case.pct("waves") < 1:
        return None
    limits = limiting(case.report)
    kind = _LIMITERS.get(limits[0], "occupancy_blocks") if limits else "occupancy_blocks"
    return Finding(
        kind=kind,
        severity=(1 - fits / 100) * _hideable(case) * case.latency_room,
        text=f"only {fits:.0f} % of an SM's warps fit, limited by {_words(limits)}"
        f" ({case.pct('registers'):.0f} registers/thread, {case.pct('shared_kb'):.1f} KB/block), "
        f"while warps wait for latency",
        advice=lift(case.report) or "use larger blocks, or more independent work per thread",
    )


def _hideable(case: Case) -> float:
    """Return the share of waiting that more warps could cover."""
    waits = case.waits
    return sum(waits.get(why, 0) for why in ("long_scoreboard", "short_scoreboard", "wait"))


def limiting(report: KernelReport) -> tuple[str, ...]:
    """Return what limits blocks per SM most: registers, shared_mem, warps, blocks or barriers."""
    counts = {
        what: report.counters.get(f"launch__occupancy_limit_{what}", math.inf) for what in _LIMITERS
    }
    least = min(counts.values())
    return tuple(what for what, count in counts.items() if count == least and count < math.inf)


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
    return (
        f"{blocks:.0f} block(s) of {now / 1e3:.0f} KB shared memory fit an SM; {blocks + 1:.0f} "
        f"fit at <= {per_sm / (blocks + 1) / 1e3 - 1:.0f} KB: use smaller tiles or keep part in "
        "registers"
    )


def tail(case: Case) -> Finding | None:
    """A last, mostly empty wave of blocks in which most SMs wait for a few."""
    waves = case.pct("waves")
    if waves <= 1 or waves > 6:  # noqa: PLR2004  (a sixth of the time at most beyond that)
        return None
    lost = 1 - waves / math.ceil(waves)
    idle_sms = 1 - case.pct("sm_balance_pct") / 100
    fits = case.pct("occupancy_limit_pct")
    unfilled = 1 - case.pct("occupancy_pct") / fits if fits else 0.0
    return Finding(
        kind="tail",
        severity=min(lost, max(idle_sms, unfilled), 1 - case.near),
        text=f"{waves:.2f} waves of blocks: the last one fills {percent(waves % 1)} of the device; "
        + (
            f"SMs are active {percent(1 - idle_sms)} of the longest one's time"
            if idle_sms > unfilled
            else f"{case.pct('occupancy_pct'):.0f} of the {fits:.0f} % of warps that fit are there"
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
    waves = case.pct("waves")
    if not blocks or not sms or (blocks >= sms and waves >= ENOUGH_WAVES):
        return None
    if blocks < sms:
        severity = min(1 - blocks / sms, 1 - case.near)
    else:
        severity = (1 - waves) * _hideable(case) * case.latency_room
    return Finding(
        kind="few_blocks",
        severity=severity,
        text=f"{blocks:.0f} blocks for {sms:.0f} SMs ({waves:.2f} of a wave)",
        advice="split the work into more blocks: fewer rows per block, several blocks per row with "
        "a second reduction step, or split-K",
    )


def imbalance(case: Case) -> Finding | None:
    """Some SMs work much longer than others although all have blocks."""
    balance = case.pct("sm_balance_pct")
    blocks, sms = case.counter("launch__grid_size"), case.counter("launch__sm_count")
    if not balance or balance > 80 or not sms or blocks < sms:  # noqa: PLR2004
        return None
    # Blocks of equal work leave this much idle by themselves: in the last wave, or in a single one
    # because blocks do not divide by the SMs.
    waves = case.pct("waves")
    rounds = waves if waves > 1 else blocks / sms
    lost = 1 - rounds / math.ceil(rounds) if rounds <= 6 else 0.0  # noqa: PLR2004
    if lost >= 1 - balance / 100:
        return None
    return Finding(
        kind="imbalance",
        severity=min(1 - balance / 100, 1 - case.near),
        text=f"SMs are active {balance:.0f} % of the longest one's time: blocks differ in work",
        advice="cut the work into equal pieces, start the long ones first, or let blocks fetch "
        "work from a counter",
    )


def divergence(case: Case) -> Finding | None:
    """Warps whose lanes take different branches, one after the other."""
    lanes = case.pct("lanes_pct")
    if not lanes or lanes > 75:  # noqa: PLR2004  (bounds checks and tails of rows cost that much)
        return None
    every = case.report.instructions
    where = blame.line_of_most(every, lambda one: one.divergent)
    return Finding(
        kind="divergence",
        severity=(1 - lanes / 100) * (1 - case.memory_near),
        text=f"{lanes / 100 * 32:.0f} of 32 lanes work in the average instruction",
        # Short branches become predicates, and no branch is counted: the lines that lose the lanes.
        where=where or blame.line_of_most(every, lambda one: 32 * one.executed - one.threads),
        advice="make the condition uniform over a warp (branch on warp or block index, sort or "
        "compact the work), or compute both sides and select",
    )


_WIDE = (
    "load float4 (16 bytes per lane) and start several independent loads before the first use "
    "(unroll, prefetch with cp.async)"
)
_EARLY = "start several independent loads before the first use (unroll, prefetch with cp.async)"
_CHAINED = (
    "break the chain: load the indices of many elements first, follow several chains per thread, "
    "or keep the table in shared memory"
)


def slow_loads(case: Case) -> Finding | None:
    """Warps that wait for loads while no memory ceiling is near."""
    waiting = case.waits.get("long_scoreboard", 0)
    if waiting < 0.4 or case.latency_room < 0.2:  # noqa: PLR2004
        return None
    loads = _accesses(case, ("LD",))
    of_chains = _waited_for(case, loads, lambda one: one.chained)
    narrow = _waited_for(case, loads, _is_narrow)
    chained, scalar = of_chains > 0.5, narrow > 0.7  # noqa: PLR2004
    why = f"; {percent(narrow)} of it for loads of 32 bits or less" if scalar else ""
    why = "; the address of each comes out of the load before" if chained else why
    return Finding(
        kind="scalar_loads" if scalar and not chained else "latency",
        severity=waiting * case.latency_room,
        text=f"{percent(waiting)} of waiting is for loads, at {percent(case.near)} of the nearest "
        f"ceiling; {case.pct('eligible_warps'):.2f} warps ready per scheduler{why}",
        where=blame.line_charged_most(case.report, loads),
        advice=_CHAINED if chained else _WIDE if scalar else _EARLY,
    )


def _waited_for(
    case: Case, loads: list[Instruction], alike: Callable[[Instruction], bool]
) -> float:
    """Return how much of the waiting for loads is for those."""
    whole = blame.share(case.report, loads)
    return blame.share(case.report, filter(alike, loads)) / whole if whole else 0.0


def _is_narrow(load: Instruction) -> bool:
    return ".64" not in load.opcode and ".128" not in load.opcode


def dependency_chain(case: Case) -> Finding | None:
    """Warps that wait for their own previous arithmetic."""
    waits = case.waits
    waiting = waits.get("wait", 0) + waits.get("short_scoreboard", 0) / 2
    if waiting < 0.4 or case.latency_room < 0.3:  # noqa: PLR2004
        return None
    return Finding(
        kind="dependency_chain",
        severity=waiting * case.latency_room,
        text=f"{percent(waiting)} of waiting is for the warp's own previous result",
        where=blame.line_of_most(case.report.instructions, lambda one: one.stalls.get("wait", 0)),
        advice="give each thread independent work: several accumulators, unrolled loops",
    )


def barriers(case: Case) -> Finding | None:
    """Warps that wait for the rest of their block."""
    waiting = case.waits.get("barrier", 0)
    if waiting < 0.2:  # noqa: PLR2004  (a block reduction or two are worth less)
        return None
    return Finding(
        kind="barriers",
        severity=waiting * case.idle * (1 - case.memory_near),
        text=f"{percent(waiting)} of waiting is at __syncthreads",
        where=blame.line_charged_most(
            case.report,
            [one for one in case.report.instructions if one.opcode.startswith("BAR")],
        ),
        advice="reduce within warps by shuffles first, synchronise once per tile and not per step, "
        "use smaller blocks, or give every warp the same work between barriers",
    )


def atomics(case: Case) -> Finding | None:
    """Many lanes that update few addresses, one after the other."""
    updates = [
        one
        for one in case.report.instructions
        if one.opcode.startswith(("ATOM", "RED")) and not one.opcode.startswith("REDUX")
    ]
    if not updates:
        return None
    held = blame.share(case.report, updates)
    # Fire-and-forget updates (RED) are waited for only when a warp exits.
    draining = case.waits.get("drain", 0) + case.waits.get("lg_throttle", 0)
    busy = case.counter("lts__d_atomic_input_cycles_active.avg.pct_of_peak_sustained_elapsed") / 100
    executed = sum(one.executed for one in updates)
    return Finding(
        kind="atomics",
        severity=max(held, draining, busy, _shared_turns(case, updates))
        * (1 - case.memory_near * 0.5),
        text=f"{_count(executed)} atomic warp instructions; {percent(max(held, draining))} of "
        "waiting is at them or for them to leave",
        where=blame.line_of_most(updates, lambda one: one.executed),
        advice="reduce within the warp (shuffles) and the block (shared memory) first, then one "
        "atomic per block, or write partial results and add them in a second step",
    )


def _shared_turns(case: Case, updates: list[Instruction]) -> float:
    """Return how much of the kernel shared-memory atomics spend on serving lanes in turn."""
    passes = sum(one.wavefronts for one in case.report.instructions)
    turns = sum(_excess_wavefronts(one) for one in updates)
    return turns / passes * _shared_busy(case) if passes else 0.0


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
    held = blame.share(case.report, doubles)
    return Finding(
        kind="wrong_pipe",
        severity=max(held, case.pct("fp64_pct") / 100) * (1 - case.memory_near * 0.5),
        text=f"{percent(executed / whole)} of instructions are double precision or conversions "
        f"to it (FP64 pipe {case.pct('fp64_pct'):.0f} % busy)",
        where=blame.line_of_most(doubles, lambda one: one.executed),
        advice="write float constants (0.5f) and float functions (sqrtf, expf, fmaxf)",
    )


_TENSOR_PRECISIONS = {"tf32", "fp16", "bf16", "fp8", "int8"}


def no_tensor_cores(case: Case) -> Finding | None:
    """A matrix product on the plain pipes where tensor cores are allowed."""
    if case.work is None or tensor_instructions(case.report) is None:
        return None
    allowed = [
        flops for flops in case.work.flops if flops.matrix and flops.precision in _TENSOR_PRECISIONS
    ]
    if not allowed or tensor_instructions(case.report):
        return None
    return Finding(
        kind="no_tensor_cores",
        severity=0.9 * case.room if case.room < 1 else 0.5,
        text=f"no matrix instruction was executed, although the operation is "
        f"{allowed[0].precision} matrix work (FP32 pipe {case.pct('fma_pct'):.0f} % busy)",
        advice="use tensor cores: mma.sync or wmma, on sm_90 wgmma with TMA",
    )


_PIPES = {
    "special_functions": ("MUFU", "F2F", "F2I", "I2F", "FRND"),
    "integer_work": ("LOP3", "IADD3", "SHF", "ISETP", "LEA", "PRMT", "IMNMX", "SEL"),
}


def busy_pipe(case: Case) -> Finding | None:
    """Special functions or integer arithmetic that crowd out the useful work."""
    pipes = {
        "special_functions": (case.pct("xu_pct"), "special-function and conversion pipe"),
        "integer_work": (case.pct("alu_pct"), "integer and logic pipe"),
    }
    kind, (pct, name) = max(pipes.items(), key=lambda item: item[1][0])
    if pct < 60 or case.memory_near > 0.8:  # noqa: PLR2004
        return None
    return Finding(
        kind=kind,
        severity=pct / 100 * 0.5,
        text=f"the {name} is {pct:.0f} % busy, memory {percent(case.memory_near)}",
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
    waiting = case.waits.get("no_instruction", 0)
    if waiting < 0.25:  # noqa: PLR2004
        return None
    return Finding(
        kind="instruction_fetch",
        severity=waiting * case.latency_room,
        text=f"{percent(waiting)} of waiting is for instructions to be fetched",
        advice="unroll less, or give the kernel more work than its start costs",
    )


RULES: tuple[Callable[[Case], Finding | None], ...] = (
    bank_conflicts,
    uncoalesced_load,
    strided_store,
    extra_traffic,
    spills,
    occupancy,
    tail,
    few_blocks,
    imbalance,
    divergence,
    slow_loads,
    dependency_chain,
    barriers,
    atomics,
    wrong_pipe,
    no_tensor_cores,
    busy_pipe,
    instruction_fetch,
)


def _count(value: float) -> str:
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.1f}{letter}"
    return f"{value:.0f}"


def _words(limits: tuple[str, ...]) -> str:
    return (
        " and ".join(what.replace("shared_mem", "shared memory") for what in limits)
        or "nothing known"
    )
