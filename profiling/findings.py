"""What costs time in a kernel: every rule's verdict on one case, causes before their effects.

The rules are in `memory_rules` and `work_rules`; `summary` prints what is found. Estimates are
deliberately capped by the distance to the floor, so that a healthy kernel has none.
"""

from collections.abc import Callable

import msgspec

from refine_agent.profiling import memory_rules, work_rules
from refine_agent.profiling.case import Case
from refine_agent.profiling.records import Finding

# Below a tenth of the time, estimates of this kind are noise.
LEAST_SEVERITY = 0.10
# Within 15 % of the measured ceiling a kernel is healthy: launch latency and the ramp at both ends
# of a 60 us kernel alone are several percent.
HEALTHY_DISTANCE = 0.15


def diagnose(case: Case) -> tuple[Finding, ...]:
    """Return the kernel's findings, worst first; none for a kernel near its floor."""
    if case.room < HEALTHY_DISTANCE:
        return ()
    return tuple(one for one in weigh(case) if one.severity >= LEAST_SEVERITY)


def weigh(case: Case) -> tuple[Finding, ...]:
    """Return what every rule says, worst first, however little is at stake."""
    found = [finding for rule in RULES if (finding := rule(case)) is not None]
    capped = [
        msgspec.structs.replace(
            finding, severity=min(finding.severity, case.room), kernel=case.report.name
        )
        for finding in found
    ]
    return tuple(sorted(_causes_first(case, capped), key=lambda finding: -finding.severity))


# What these describe is often the effect of something else that was found too.
SYMPTOMS = {"scalar_loads", "latency", "mbarrier_wait", "dependency_chain"}
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
            (case.pct("waves") or 0.0) < work_rules.FEW_WAVES
        )
    return one.kind not in SYMPTOMS


RULES: tuple[Callable[[Case], Finding | None], ...] = (
    memory_rules.bank_conflicts,
    memory_rules.uncoalesced_load,
    memory_rules.strided_store,
    memory_rules.extra_traffic,
    memory_rules.rereads,
    memory_rules.spills,
    work_rules.occupancy,
    work_rules.tail,
    work_rules.few_blocks,
    work_rules.imbalance,
    work_rules.divergence,
    memory_rules.slow_loads,
    work_rules.dependency_chain,
    work_rules.barriers,
    work_rules.grid_wait,
    memory_rules.atomics,
    memory_rules.fences,
    memory_rules.streaming_stores,
    work_rules.wrong_pipe,
    work_rules.no_tensor_cores,
    work_rules.busy_pipe,
    work_rules.instruction_fetch,
)
