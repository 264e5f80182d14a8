"""One kernel under examination: its report, what is known around it, and sums the rules share.

What is wrong with it is said by `memory_rules` and `work_rules`; `findings` ranks what they say.
"""

from collections.abc import Iterable

import msgspec

from refine_agent.profiling import blame
from refine_agent.profiling.evidence import Instruction, KernelReport
from refine_agent.profiling.metrics import reading
from refine_agent.profiling.records import Work
from refine_agent.profiling.stalls import stall_shares

# A library copy reaches 4.27 of 4.81 TB/s on an H200: nothing is to be won above that share of the
# DRAM's peak. Used where no ceiling was measured on the device itself.
REACHABLE_DRAM = 0.89


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel with what is known around it.

    `room` is the fraction of its time above the measured floor, 1.0 where no floor is known.
    `work` is that of the whole call, given only where this kernel does nearly all of it.
    `needs_tensor_cores` says whether its products take longer than its bytes without them.
    """

    report: KernelReport
    room: float = 1.0
    work: Work | None = None
    needs_tensor_cores: bool | None = None
    reachable_dram: float = REACHABLE_DRAM

    def pct(self, key: str) -> float | None:
        """Return a reading of the table, None where it was not measured."""
        return reading(self.report, key)

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
    def memory_near(self) -> float | None:
        """Return how near the memory system is to what it can reach, 0 to 1; None if unmeasured."""
        dram, l2 = self.pct("dram_pct"), self.pct("l2_pct")
        if dram is None or l2 is None:
            return None
        return min(1.0, max(dram / 100 / self.reachable_dram, l2 / 100))

    @property
    def near(self) -> float | None:
        """Return how near the nearest ceiling of any kind is, 0 to 1; None if one is unmeasured."""
        memory, sm, l1 = self.memory_near, self.pct("sm_pct"), self.pct("l1_pct")
        if memory is None or sm is None or l1 is None:
            return None
        return min(1.0, max(memory, sm / 100, l1 / 100))

    @property
    def idle(self) -> float | None:
        """Return the share of cycles in which a scheduler had nothing to issue, if measured."""
        issued = self.pct("issue_pct")
        busy = self.pct("sm_pct") if issued is None else issued
        return None if busy is None else 1.0 - busy / 100

    @property
    def stalled(self) -> float | None:
        """Return the idle issue slots under an idle memory system, if both were measured."""
        if self.idle is None or self.memory_near is None:
            return None
        return self.idle * (1 - self.memory_near)

    @property
    def latency_room(self) -> float | None:
        """Return what hiding latency alone could win: idle issue slots under an idle ceiling."""
        if self.idle is None or self.near is None:
            return None
        return max(0.0, min(self.idle, 1.0 - self.near))

    @property
    def hideable(self) -> float:
        """Return the share of waiting that more warps could cover.

        Not that for bulk copies: one thread asks for those, and how many are on their way is a
        matter of stages, not of warps.
        """
        waits = self.waits
        every = sum(waits.get(why, 0) for why in ("long_scoreboard", "short_scoreboard", "wait"))
        return max(0.0, every - blame.mbarrier_share(self.report))

    @property
    def shared_busy(self) -> float:
        """Return how near shared memory is to its peak, or how much of the waiting is for it."""
        passes = "l1tex__data_pipe_lsu_wavefronts.avg.pct_of_peak_sustained_elapsed"
        waits = self.waits
        return max(
            self.counter(passes) / 100,
            waits.get("short_scoreboard", 0) + waits.get("mio_throttle", 0),
        )

    def held(self, guilty: Iterable[Instruction]) -> float:
        """Return the share of waiting that these instructions cause."""
        return blame.share(self.report, guilty)

    def accesses(self, *opcodes: str) -> list[Instruction]:
        """Return the accesses to global memory whose opcodes start so."""
        return [
            one
            for one in self.report.instructions
            if one.sectors and one.opcode.startswith(opcodes)
        ]


def excess_wavefronts(one: Instruction) -> float:
    """Return the passes through shared memory beyond what the bytes need."""
    return one.wavefronts - one.wavefronts_ideal


def excess_sectors(one: Instruction) -> float:
    """Return the 32-byte sectors beyond what the bytes need."""
    return one.sectors - one.sectors_ideal


def count(value: float) -> str:
    """Return a count as pages print it: 65.0M."""
    for scale, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.1f}{letter}"
    return f"{value:.0f}"
