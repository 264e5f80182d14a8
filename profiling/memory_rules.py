"""What costs time on the way to memory: conflicts, sectors, traffic, spills, latency, atomics.

Each rule is one function from a `Case` to a finding or None; `findings` ranks them.
"""

from collections.abc import Callable

from refine_agent.profiling import blame
from refine_agent.profiling.case import Case, count, excess_sectors, excess_wavefronts
from refine_agent.profiling.evidence import Instruction
from refine_agent.profiling.metrics import reading
from refine_agent.profiling.plain import percent
from refine_agent.profiling.records import Finding, Work


def bank_conflicts(case: Case) -> Finding | None:
    """Shared-memory accesses of a warp that hit the same bank and are served one after another."""
    # Atomics that meet in one word are served in turn whatever the banks: `atomics` counts those.
    accesses = [one for one in case.report.instructions if not one.opcode.startswith("ATOM")]
    passes = sum(one.wavefronts for one in case.report.instructions)
    excess = sum(excess_wavefronts(one) for one in accesses)
    if not passes or excess / passes < 0.1:  # noqa: PLR2004  (padding one row of 32 costs 3 %)
        return None
    worst = max(accesses, key=excess_wavefronts, default=None)
    ways = f"{worst.nway}-way" if worst is not None and worst.nway > 1 else "some"
    return Finding(
        kind="bank_conflicts",
        severity=excess / passes * case.shared_busy,
        text=f"{ways} shared-memory bank conflicts: {count(excess)} of {count(passes)} "
        f"wavefronts ({percent(excess / passes)}) are excess",
        where=blame.line_of_most(accesses, excess_wavefronts),
        advice="pad the row by one element, or swizzle the index (column ^ row), so that the 32 "
        "lanes hit 32 banks",
    )


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
    accesses = case.accesses(*opcodes)
    everything = sum(one.sectors for one in case.report.instructions)
    asked = sum(one.sectors for one in accesses)
    excess = sum(excess_sectors(one) for one in accesses)
    if not everything or excess / everything < _LEAST_EXCESS:
        return None
    held = case.held([one for one in accesses if excess_sectors(one) > 0])
    near, hits = case.memory_near, case.pct("l1_hit_pct")
    measured = near is not None and hits is not None
    reached = _waste_beyond_l1(case, opcodes) if measured else 0.0
    used = 32 * (asked - excess) / asked
    return Finding(
        kind=kind,
        severity=max(
            excess / everything * held,
            reached / max(1.0, _sectors_beyond_l1(case)) * (near or 0.0),
        ),
        text=f"each {verb} uses {used:.0f} of the 32 bytes of the sectors it touches: "
        f"{count(excess)} of {count(asked)} sectors are waste",
        where=blame.line_of_most(accesses, excess_sectors),
        advice=advice,
    )


def _sectors_beyond_l1(case: Case) -> float:
    """Return the sectors that global accesses ask of the L2: those that do not hit the L1."""
    return sum(one.sectors for one in case.report.instructions) * _missed(case)


def _missed(case: Case) -> float:
    """Return the share of sectors that miss the L1: all of them where hits were not counted."""
    hits = case.pct("l1_hit_pct")
    return 1.0 if hits is None else 1 - hits / 100


def _waste_beyond_l1(case: Case, opcodes: tuple[str, ...]) -> float:
    """Return the wasted sectors that reach the L2.

    What neighbouring accesses use later hits the L1 and wastes only its passes: where no more is
    asked of the L2 than the bytes need, nothing is wasted there. Stores always go through.
    """
    accesses = case.accesses(*opcodes)
    waste = sum(excess_sectors(one) for one in accesses)
    if "ST" in opcodes:
        return waste
    ideal = sum(one.sectors_ideal for one in case.report.instructions)
    stores = sum(excess_sectors(one) for one in case.accesses("ST"))
    return min(waste, max(0.0, _sectors_beyond_l1(case) - ideal - stores))


def extra_traffic(case: Case) -> Finding | None:
    """More bytes over the DRAM interface than the operation needs."""
    counted, busy = case.pct("dram_mb"), case.pct("dram_pct")
    if case.work is None or not counted or busy is None:
        return None
    moved = counted * 1e6
    ratio = moved / case.work.bytes_needed
    local = min(moved, _local_bytes_beyond_l1(case))
    waste = 32 * (_waste_beyond_l1(case, ("LD",)) + _waste_beyond_l1(case, ("ST",)))
    unexplained = (moved - local - waste) / case.work.bytes_needed
    if unexplained < 1.15:  # noqa: PLR2004  (write-back and ECC move about a tenth more)
        return None
    where = _second_pass(case)
    again = "; the data are read a second time there" if where else ""
    fallen = where is None and _falls_out_of_l2(case, case.work)
    again += "; what several blocks read falls out of the L2 in between" if fallen else ""
    again += f"; up to {local / 1e6:.0f} MB of it are local memory's" if local else ""
    return Finding(
        kind="extra_traffic",
        severity=(1 - 1 / unexplained) * min(1.0, busy / 100 / case.reachable_dram),
        text=f"{moved / 1e6:.0f} MB cross the DRAM interface, {case.work.bytes_needed / 1e6:.0f} "
        f"are needed ({ratio:.2f}x){again}",
        where=where,
        advice=_HOLD if fallen else _KEEP,
    )


_KEEP = (
    "keep what was read in registers or shared memory for the second use, or fold the passes into "
    "one (running mean and variance, online softmax)"
)
# A layer norm over 16.8 M values with as many parameters, on an H200: 549 MB with these policies on
# parameters and rows, 797 MB without, 570 needed.
_HOLD = (
    "hold what is read again in the L2 (createpolicy.fractional.L2::evict_last and L2::cache_hint) "
    "and let what streams past leave first (evict_first, __stcs), or let blocks that share it run "
    "at the same time"
)


def _falls_out_of_l2(case: Case, work: Work) -> bool:
    """Tell whether SMs ask for more than the input, and DRAM delivers part of it again."""
    asked, read = case.counter("l1tex__m_xbar2l1tex_read_bytes.sum"), case.pct("dram_read_mb")
    if not work.bytes_read or read is None:
        return False
    return read * 1e6 > 1.1 * work.bytes_read and asked > 1.1 * read * 1e6


# Kernels that read their input once kept an H200's L2 1.0 to 1.21 times as busy as its DRAM, from
# 96 % of the one down to 64 % of the other.
_L2_OF_A_STREAM = {"sm_90": 1.25}


def _no_busier_than_a_stream(case: Case) -> bool:
    """Tell whether the L2 is as busy as at this DRAM rate anyway: then it is not what binds.

    A layer norm that read 580 MB from the L2 took as long as one that read 439 there.
    """
    most, l2, dram = (
        _L2_OF_A_STREAM.get(case.report.arch),
        case.pct("l2_pct"),
        case.pct("dram_pct"),
    )
    return most is not None and l2 is not None and dram is not None and l2 <= most * dram


def rereads(case: Case) -> Finding | None:
    """The input read several times, out of the L2: DRAM traffic hides it, the L2 pays."""
    asked, work = case.counter("l1tex__m_xbar2l1tex_read_bytes.sum"), case.work
    # Tiles of a matrix product are read again by design.
    if work is None or not work.bytes_read or any(flops.matrix for flops in work.flops):
        return None
    read, busy = case.pct("dram_read_mb"), case.pct("l2_pct")
    if read is None or busy is None or case.pct("dram_pct") is None:
        return None
    again = max(0.0, read * 1e6 - work.bytes_read)
    explained = _local_bytes(case) + 32 * _waste_beyond_l1(case, ("LD",)) + again
    ratio = (asked - explained) / work.bytes_read
    if ratio < 1.3:  # noqa: PLR2004  (parameters that every row reads, halves of sectors)
        return None
    where = _second_pass(case)
    # A second pass over a row waits for the first one whatever the L2 could deliver.
    if where is None and _no_busier_than_a_stream(case):
        return None
    return Finding(
        kind="l2_rereads",
        severity=(1 - 1 / ratio) * busy / 100,
        text=f"SMs read {asked / 1e6:.0f} MB from the L2 where the input is "
        f"{work.bytes_read / 1e6:.0f} MB, and keep the L2 {busy:.0f} % busy",
        where=where,
        advice="keep what was read in registers or shared memory for the next pass; hold what all "
        "rows share (weight, bias) across several rows",
    )


def _local_bytes_beyond_l1(case: Case) -> float:
    """Return the bytes of local loads and stores that can have left the L1."""
    return _local_bytes(case) * _missed(case)


def _local_bytes(case: Case) -> float:
    lanes, words = 32, {"64": 8, "128": 16}
    return sum(
        one.executed * lanes * words.get(one.opcode.rsplit(".", 1)[-1], 4)
        for one in case.report.instructions
        if one.opcode.startswith(("LDL", "STL"))
    )


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
    held = case.held(accesses)
    limit = case.pct("registers")
    registers = "" if limit is None else f" at {limit:.0f} registers per thread"
    return Finding(
        kind="local_arrays" if spilled == 0 else "spills",
        severity=max(held, local / (local + others) * (case.near or 0.0)),
        text=f"{_local_cause(spilled)}: {count(local)} local loads and stores{registers}, "
        f"{percent(local / (local + others))} of all memory instructions",
        where=blame.line_charged_most(case.report, accesses)
        or blame.line_of_most(accesses, lambda one: one.executed),
        advice="index the array with constants (unroll the loop) so that it becomes registers"
        if spilled == 0
        else "hold fewer values per thread or raise the register limit (__launch_bounds__, "
        "-maxrregcount)",
    )


def _local_cause(spilled: float | None) -> str:
    if spilled is None:
        return "spilled registers or arrays in local memory"
    return "spilled registers" if spilled else "arrays in local memory"


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
    waiting, room, near = case.waits.get("long_scoreboard", 0), case.latency_room, case.near
    if waiting < 0.4 or room is None or near is None or room < 0.2:  # noqa: PLR2004
        return None
    bulk = blame.mbarrier_share(case.report)
    if bulk > waiting / 2:
        return _bulk_copies(case, bulk, room=room, near=near)
    loads = case.accesses("LD")
    of_chains = _waited_for(case, loads, lambda one: one.chained)
    narrow = _waited_for(case, loads, _is_narrow)
    chained, scalar = of_chains > 0.5, narrow > 0.7  # noqa: PLR2004
    why = f"; {percent(narrow)} of it for loads of 32 bits or less" if scalar else ""
    why = "; the address of each comes out of the load before" if chained else why
    return Finding(
        kind="scalar_loads" if scalar and not chained else "latency",
        severity=waiting * room,
        text=f"{percent(waiting)} of waiting is for loads, at {percent(near)} of the nearest "
        f"ceiling{_ready(case)}{why}",
        where=blame.line_charged_most(case.report, loads),
        advice=_CHAINED if chained else _WIDE if scalar else _EARLY,
    )


def _ready(case: Case) -> str:
    ready = reading(case.report, "eligible_warps")
    return "" if ready is None else f"; {ready:.2f} warps ready per scheduler"


def _bulk_copies(case: Case, waiting: float, *, room: float, near: float) -> Finding:
    tries = [one for one in case.report.instructions if "TRYWAIT" in one.opcode]
    return Finding(
        kind="mbarrier_wait",
        severity=waiting * room,
        text=f"{percent(waiting)} of waiting is at an mbarrier, for bulk copies or the other side "
        f"of the pipeline, at {percent(near)} of the nearest ceiling",
        where=blame.line_charged_most(case.report, tries),
        advice="keep more bytes on their way: more stages, issued as soon as a stage is free, and "
        "arrive on it right after its last read",
    )


def fences(case: Case) -> Finding | None:
    """Warps that wait until everything they wrote is visible to others."""
    waiting, idle, near = case.waits.get("membar", 0), case.idle, case.memory_near
    if waiting < 0.1 or idle is None or near is None:  # noqa: PLR2004
        return None
    fencing = [one for one in case.report.instructions if one.stalls.get("membar")]
    clusters = any(opcode.startswith("UCGABAR") for opcode in case.report.opcodes)
    return Finding(
        kind="fences",
        severity=waiting * idle * (1 - near * 0.5),
        text=f"{percent(waiting)} of waiting is for memory fences"
        + (", which a cluster barrier that releases brings along" if clusters else ""),
        where=blame.line_of_most(fencing, lambda one: one.stalls.get("membar", 0)),
        advice="hand partial results over by st.async on an mbarrier of the receiving block, and "
        "arrive with .relaxed where nothing written must be seen"
        if clusters
        else "fence once per block and not per element, at the narrowest scope (release at block "
        "or gpu scope instead of __threadfence_system)",
    )


# Three row-wise kernels near their floor on an H200, `__stcs` against plain stores of the same
# bytes: 73.4 to 72.1 us, 74.9 to 72.5, 143.9 to 139.7.
_PLAIN_STORES_WON = 0.029


def streaming_stores(case: Case) -> Finding | None:
    """Stores that leave the L2 first, beside a stream of reads: plain ones were faster."""
    stores = case.accesses("ST")
    written = sum(one.sectors_ideal for one in stores)
    read = sum(one.sectors_ideal for one in case.accesses("LD"))
    first_out = sum(one.sectors_ideal for one in stores if ".EF" in one.opcode)
    asked = case.counter("l1tex__m_xbar2l1tex_read_bytes.sum")
    crossed, near = case.pct("dram_read_mb"), case.memory_near
    if crossed is None or near is None:
        return None
    reuses = asked > 1.3 * crossed * 1e6  # something else must stay in the L2
    if not written or first_out < written / 2 or read < written / 2 or reuses:
        return None
    return Finding(
        kind="streaming_stores",
        severity=_PLAIN_STORES_WON * near,
        text="the result is written by stores that leave the L2 first (.EF: __stcs, st.cs) while "
        "the input streams in; on an H200 plain stores were 2 to 3 % faster in three such kernels",
        where=blame.line_of_most(stores, lambda one: one.sectors_ideal),
        advice="try plain stores, and measure both",
    )


def _waited_for(
    case: Case, loads: list[Instruction], alike: Callable[[Instruction], bool]
) -> float:
    """Return how much of the waiting for loads is for those."""
    whole = case.held(loads)
    return case.held(filter(alike, loads)) / whole if whole else 0.0


def _is_narrow(load: Instruction) -> bool:
    return ".64" not in load.opcode and ".128" not in load.opcode


def atomics(case: Case) -> Finding | None:
    """Many lanes that update few addresses, one after the other."""
    updates = [
        one
        for one in case.report.instructions
        if one.opcode.startswith(("ATOM", "RED")) and not one.opcode.startswith("REDUX")
    ]
    if not updates:
        return None
    held = case.held(updates)
    # Fire-and-forget updates (RED) are waited for only when a warp exits.
    draining = case.waits.get("drain", 0) + case.waits.get("lg_throttle", 0)
    busy = case.counter("lts__d_atomic_input_cycles_active.avg.pct_of_peak_sustained_elapsed") / 100
    executed = sum(one.executed for one in updates)
    turns = _shared_turns(case, updates)
    near = 1.0 if case.memory_near is None else case.memory_near  # unmeasured: the least at stake
    in_turn = turns > max(held, draining, busy)
    return Finding(
        kind="atomics",
        severity=max(held, draining, busy, turns) * (1 - near * 0.5),
        text=f"{count(executed)} atomic warp instructions; "
        + (
            _turns(case, updates)
            if in_turn
            else f"{percent(max(held, draining))} of waiting is at them or for them to leave"
        ),
        where=blame.line_of_most(updates, lambda one: one.executed),
        advice=_OWN_COUNTERS if in_turn else _REDUCE_FIRST,
    )


_REDUCE_FIRST = (
    "reduce within the warp (shuffles) and the block (shared memory) first, then one atomic per "
    "block, or write partial results and add them in a second step"
)
_OWN_COUNTERS = (
    "let fewer lanes meet in one word: counters of its own for each warp or group of lanes, added "
    "up at the end, or lanes with the same word found first (__match_any_sync) and one update each"
)


def _turns(case: Case, updates: list[Instruction]) -> str:
    """Say how many passes through shared memory lanes take that meet in the same words."""
    passes = sum(one.wavefronts for one in case.report.instructions)
    turns = sum(excess_wavefronts(one) for one in updates)
    most = max(one.nway for one in updates)
    return (
        f"{count(turns)} of {count(passes)} passes through shared memory ({percent(turns / passes)}"
        f") are lanes that meet in one word or bank and are served in turn, {most} turns on average"
    )


def _shared_turns(case: Case, updates: list[Instruction]) -> float:
    """Return how much of the kernel shared-memory atomics spend on serving lanes in turn."""
    passes = sum(one.wavefronts for one in case.report.instructions)
    turns = sum(excess_wavefronts(one) for one in updates)
    return turns / passes * case.shared_busy if passes else 0.0
