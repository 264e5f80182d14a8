"""What costs time in a call: the findings of each heavy kernel, and what belongs to no one kernel.

Gaps, kernels that should be one, and what the lower rungs can say without counters (upper bounds
there) are its own rules; those of a single kernel are in `findings`, a CPU's in `cpu_rules`.
"""

from collections.abc import Callable

import msgspec

from refine_agent.profiling import call as calls
from refine_agent.profiling import cpu_rules, findings, roofline, static, work_rules
from refine_agent.profiling.call import Call
from refine_agent.profiling.case import REACHABLE_DRAM, Case
from refine_agent.profiling.evidence import Compiled, KernelReport, Opcodes
from refine_agent.profiling.plain import percent
from refine_agent.profiling.records import Finding

# Kernels below this share of the call are listed, not diagnosed.
WORTH_DIAGNOSING = 0.05
# No kernel is shorter than its own start and end: the zoo's kernel that moves half a megabyte takes
# 2.2 to 2.6 us on an H200, and one that does nothing hardly less. Only fewer launches save that.
LAUNCH_US = 2.0


def diagnose(call: Call) -> tuple[Finding, ...]:
    """Return what costs time in the whole call, worst first; none for a call near its floor."""
    distance = calls.room(call)
    if distance is not None and distance < findings.HEALTHY_DISTANCE:
        return ()
    found = [*_kernel_findings(call, findings.diagnose), *_call_findings(call)]
    return _ranked(call, found, least=findings.LEAST_SEVERITY)


# Smaller shares are within the estimates' own error, and no advice is worth its line there.
LEAST_WORD = 0.02


def smaller(call: Call) -> tuple[Finding, ...]:
    """Return what is worth a word where `diagnose` lists nothing, worst first.

    Near the floor, too: a kernel at 1.1 times it may still be beaten by a tenth.
    """
    return _ranked(call, _kernel_findings(call, findings.weigh), least=LEAST_WORD)


def _ranked(call: Call, found: list[Finding], *, least: float) -> tuple[Finding, ...]:
    distance = calls.room(call)
    cap = 1.0 if distance is None else distance
    capped = [msgspec.structs.replace(one, severity=min(one.severity, cap)) for one in found]
    listed = [one for one in capped if one.severity >= least]
    return tuple(sorted(listed, key=lambda one: -one.severity))


def _call_findings(call: Call) -> list[Finding]:
    """Return the findings that belong to no one kernel."""
    rules = [_launch_gaps, _unfused, *(cpu_rules.RULES if call.cpu else [])]
    if not call.reports and call.cpu is None:
        rules += [_compiled_spills, _compiled_occupancy, _compiled_doubles]
    found = [finding for rule in rules if (finding := rule(call)) is not None]
    worth_saying = [one for one in found if one.severity >= findings.LEAST_SEVERITY]
    return worth_saying or ([] if call.reports else _unseen(call))


def _kernel_findings(call: Call, diagnosed: Callable[[Case], tuple[Finding, ...]]) -> list[Finding]:
    found: list[Finding] = []
    busy = _busy(call)
    for report in calls.heaviest(call, most=8):
        share = calls.share_of(call, report.name)
        if share < WORTH_DIAGNOSING:
            continue
        found += [
            msgspec.structs.replace(one, severity=one.severity * share * busy)
            for one in diagnosed(_case(call, report, share))
        ]
    return found


def _busy(call: Call) -> float:
    """Return the share of the call's time in which kernels ran: a kernel can win back no more."""
    kernels, took = calls.kernels_us(call), calls.time_us(call)
    return min(1.0, kernels / took) if kernels and took else 1.0


def _case(call: Call, report: KernelReport, share: float) -> Case:
    floor = calls.floor(call)
    alone = share >= calls.DOMINANT
    took = sum(
        calls.launches_each(call, one) * one.time_us
        for one in call.reports
        if one.name == report.name
    )
    once = took <= report.time_us
    above_floor = max(0.0, 1 - floor.us / took) if floor and alone and took else 1.0
    above_launch = max(0.0, 1 - LAUNCH_US / report.time_us) if report.time_us else 1.0
    ceilings = call.ceilings
    reachable = REACHABLE_DRAM
    if ceilings and ceilings.copy_gbps and ceilings.dram_peak_gbps:
        reachable = min(1.0, ceilings.copy_gbps / ceilings.dram_peak_gbps)
    return Case(
        report=report,
        room=min(above_floor, above_launch),
        work=call.work if alone and once else None,
        needs_tensor_cores=_needs_tensor_cores(call),
        reachable_dram=reachable,
    )


def _needs_tensor_cores(call: Call) -> bool | None:
    if call.work is None or call.ceilings is None:
        return None
    return roofline.needs_tensor_cores(call.work, call.ceilings)


def _unseen(call: Call) -> list[Finding]:
    """Say that a call is far from its floor although nothing on this rung shows why."""
    room, launches = calls.room(call), sum(one.launches for one in calls.kernels(call))
    if room is None:
        return []
    several = launches > 1
    handed = f"; {launches} launches hand data to each other through memory" if several else ""
    advice = "read the input once, in 16-byte loads with several in flight, and write once"
    if several:
        advice = "fuse the kernels into one"
    if call.cpu is not None:
        return [cpu_rules.unexplained(call, room)]
    return [
        Finding(
            kind="far_from_floor",
            severity=room,
            text=f"{percent(room)} of the time lies above {calls.floor_name(call)}; what costs it "
            f"is not visible without counters{handed}",
            advice=advice,
        )
    ]


def _launch_gaps(call: Call) -> Finding | None:
    gap, took = calls.gap_us(call), calls.time_us(call)
    launches = sum(kernel.launches for kernel in calls.kernels(call))
    if not gap or not took or launches < 2:  # noqa: PLR2004
        return None
    return Finding(
        kind="launch_gaps",
        severity=min(1.0, gap / took),
        text=f"no kernel runs for {gap:.1f} of {took:.1f} us, in gaps between {launches} launches",
        advice="fuse the kernels into one, or loop inside one launch; keep the host from "
        "synchronising or allocating between launches",
    )


def _unfused(call: Call) -> Finding | None:
    """Several kernels that hand data to each other through DRAM."""
    moved, work = calls.dram_bytes(call), call.work
    kernels = calls.kernels(call)
    single = len(call.reports) == 1 and calls.share_of(call, call.reports[0].name) >= calls.DOMINANT
    if moved is None or work is None or single or moved < 1.15 * work.bytes_needed:
        return None
    peak = call.ceilings.dram_peak_gbps if call.ceilings else None
    took = sum(calls.launches_each(call, report) * report.time_us for report in call.reports)
    busy = min(1.0, moved / took / 1e3 / peak / REACHABLE_DRAM) if peak and took else 1.0
    return Finding(
        kind="extra_traffic",
        severity=(1 - work.bytes_needed / moved) * busy,
        text=f"{moved / 1e6:.0f} MB cross the DRAM interface over {len(kernels)} kernels, "
        f"{work.bytes_needed / 1e6:.0f} are needed ({moved / work.bytes_needed:.2f}x)",
        advice="fuse the kernels so that intermediate results stay in registers or shared memory",
    )


def _at_most(call: Call) -> float:
    """Return the most that could be won: the distance to the floor; half of it without a timing."""
    room = calls.room(call)
    return 0.5 if room is None else room


def _compiled_spills(call: Call) -> Finding | None:
    worst = max(
        call.static.kernels if call.static else (),
        key=lambda one: one.spill_store_bytes + one.spill_load_bytes,
        default=None,
    )
    if worst is None or not worst.spill_store_bytes + worst.spill_load_bytes:
        return None
    return Finding(
        kind="spills",
        severity=_at_most(call),
        text=f"ptxas spills {worst.spill_store_bytes} bytes out and {worst.spill_load_bytes} in "
        f"per thread at {worst.registers} registers; the cost was not measured",
        advice="hold fewer values per thread or raise the register limit (__launch_bounds__)",
        kernel=worst.name,
    )


def _compiled_occupancy(call: Call) -> Finding | None:
    threads = call.static.threads_per_block if call.static else None
    for one in call.static.kernels if call.static and threads else ():
        fits = _fits(one, threads or 0)
        if (
            fits is not None
            and fits.pct <= work_rules.LOW_OCCUPANCY_PCT
            and fits.limited_by[0] in {"registers", "shared memory"}
        ):
            kind = (
                "occupancy_registers" if fits.limited_by[0] == "registers" else "occupancy_shared"
            )
            return Finding(
                kind=kind,
                severity=_at_most(call) * (1 - fits.pct / 100),
                text=f"{fits.pct:.0f} % of an SM's warps fit, limited by {fits.limited_by[0]} "
                f"({one.registers} registers, {one.shared_bytes} B shared), at unmeasured cost",
                advice="bound the registers with __launch_bounds__"
                if kind == "occupancy_registers"
                else "use smaller tiles",
                kernel=one.name,
            )
    return None


def _fits(one: Compiled, threads: int) -> static.Occupancy | None:
    return static.occupancy(
        one.arch, threads=threads, registers=one.registers, shared_bytes=one.shared_bytes
    )


def _compiled_doubles(call: Call) -> Finding | None:
    work = call.work
    if work is not None and any(flops.precision == "fp64" for flops in work.flops):
        return None
    for one in call.static.opcodes if call.static else ():
        doubles = _doubles(one)
        if doubles / max(1, sum(one.counts.values())) > 0.05:  # noqa: PLR2004
            return Finding(
                kind="wrong_pipe",
                severity=_at_most(call) * 0.5,
                text=f"{doubles} double-precision instructions stand in the code; the cost was not "
                "measured",
                advice="write float constants (0.5f) and float functions (sqrtf, expf)",
                kernel=one.name,
            )
    return None


def _doubles(one: Opcodes) -> int:
    return sum(
        n
        for opcode, n in one.counts.items()
        if opcode.startswith(("DADD", "DMUL", "DFMA", "F2F.F64"))
    )
