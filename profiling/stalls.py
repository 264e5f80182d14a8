"""Why warps wait: the reasons, what each waits for, and their shares of a warp's time.

Nsight Compute counts them in two families, averaged and sampled; which instruction is to blame is
`blame`'s business.
"""

from refine_agent.profiling.evidence import KernelReport

STALLS = {
    "long_scoreboard": "a load from global or local memory (L1TEX), or an mbarrier",
    "short_scoreboard": "a shared-memory load, special function or other MIO result",
    "barrier": "the block's other warps at a barrier",
    "mio_throttle": "room in the queue for shared memory and special functions",
    "lg_throttle": "room in the queue for global and local memory instructions",
    "math_pipe_throttle": "an arithmetic pipe that is busy",
    "wait": "a fixed-latency result of its own previous instruction",
    "not_selected": "its turn: other warps were ready too",
    "selected": "nothing: it issued",
    "branch_resolving": "a branch target",
    "no_instruction": "instructions to be fetched",
    "gmma": "a warp-group matrix instruction",
    "membar": "a memory fence (a cluster barrier that releases has one)",
    "drain": "its stores to leave at exit",
    "imc_miss": "a constant-cache miss",
    "tex_throttle": "room in the texture queue",
    "sleeping": "its own nanosleep",
    "dispatch_stall": "the dispatcher",
    "misc": "something else",
}
# The sampled family of counters spells two reasons differently from the averaged one.
SAMPLED_SPELLING = {"gmma": "warpgroup_arrive", "no_instruction": "no_instructions"}
AVERAGED_SPELLING = {sampled: averaged for averaged, sampled in SAMPLED_SPELLING.items()}


def stall_counter(reason: str) -> str:
    """Return the counter of average warps stalled for `reason` per issued instruction."""
    return f"smsp__average_warps_issue_stalled_{reason}_per_issue_active.ratio"


def sampled_counter(reason: str) -> str:
    """Return the counter of warp samples stalled for `reason`, per instruction."""
    return f"smsp__pcsamp_warps_issue_stalled_{SAMPLED_SPELLING.get(reason, reason)}"


def stall_shares(report: KernelReport) -> dict[str, float]:
    """Return the share of a warp's time between two of its instructions, by reason; sums to 1."""
    cycles = {reason: report.counters.get(stall_counter(reason), 0.0) for reason in STALLS}
    if not any(cycles.values()):
        cycles = {reason: report.counters.get(sampled_counter(reason), 0.0) for reason in STALLS}
    total = sum(cycles.values())
    return {reason: value / total for reason, value in cycles.items()} if total else {}
