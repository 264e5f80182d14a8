"""What the samples of a trial amount to: clocks that agree, a speedup, and what makes it doubtful.

It owns the step from samples to a verdict; taking them is ``examiner``'s, their medians are
``statistics``'s.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from refine_agent.judge import statistics

# Evidence names it in a field, which msgspec resolves at run time.
from refine_agent.judge.examiner import Samples  # noqa: TC001
from refine_agent.judge.stolen import CALM
from refine_agent.profiling import roofline
from refine_agent.records import Checks, Disqualified, Passed, Suspicion, Timing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.judge.layers import Layers
    from refine_agent.judge.settled import Settled
    from refine_agent.profiling.roofline import Floor
    from refine_agent.records import AnyVerdict

_T = TypeVar("_T")
# An expert's rule of thumb (KernelBench's EVAL.md says the same): over twice as fast as a tuned
# compiler is more often a bug in one's favour than a breakthrough.
INCREDIBLE = 2.0
# The kernels that measured the ceiling are a library's, not the best there are: a read at 95 % of
# the datasheet was seen where torch.sum reached 87 %.
BELOW_FLOOR = 0.92
# The faster baseline has jumped, or the machine did other work, where a ratio is known no better
# than this to either side. A CPU that others share is seldom quieter than the second.
NOISY = {"cuda": 0.10, "cpu": 0.25}
# A block of calls counts where the judge's clock and the claims agree to this part, beyond what the
# trusted witnesses' clocks differ by in the same round.
CLOCKS_AGREE = {"cuda": 0.05, "cpu": 0.15}
# So many blocks have to count, and so many are taken at most: where a machine does other work as
# well, the judge hears some answers late. It did not where a witness has many blocks that count and
# the candidate next to none.
ENOUGH_BLOCKS, PATIENT_BLOCKS, FEW_BLOCKS, SURE_BLOCKS = 5, 30, 2, 10
# Claims that agree in no more than this part of the blocks in which a witness's do were lucky: as
# often as not, an honest candidate is heard as soon as a witness.
LUCKY_PART = 1 / 3
# Nor were they lies where all the calls of a block fell short by no more than this in microseconds:
# an honest process was heard that much later than a witness in every block of 2 of 100 runs on an
# H200. Such a candidate is timed by the judge's clock. A CPU's is not heard late, or is so by all.
LATE_US = {"cuda": 150.0, "cpu": 0.0}
# A machine on which not even a witness has this part of its blocks count is busy with other things.
CALM_PART = 0.8
# The mean of a block's calls may exceed their median by this much more than the witnesses' does:
# beyond the first the median is raised by what was moved out of it, beyond the second it is no
# measure at all.
EVEN, UNEVEN = 1.05, 1.3
# The judge's own smallest kernel after an answer takes so many times what it does after a candidate
# that computes nothing, and microseconds; what it takes longer, it waited for the candidate's.
SETTLING_FACTOR, SETTLING_SLACK_US = 1.5, 30.0
# Results are handed over after the calls, on a clock of its own: the copies are the same for
# everybody, so whatever takes a candidate more than so many times what it takes the slowest trusted
# witness, and microseconds for waking up, was not copying. It is on the judge's clock.
DELIVERY_FACTOR, DELIVERY_SLACK_US = 1.25, {"cuda": 50.0, "cpu": 100.0}
# Behind a lead, guests on an H200 took up to 109 µs longer than the slowest witness to hand over a
# single result, on a loaded host and whatever they computed (54 candidates). What one takes longer
# for one is allowed for a block, up to this.
SPARE_US = 110.0
# What the device was at work for in a block, beyond what it was for a witness, is no lateness: the
# judge's own kernel stood in line behind it. On an H200 the medians of 77 honest trials lay at most
# 3 µs above their witnesses', those of 28 in which some 15 µs a call were hidden 62 to 182 µs.
SEEN_AT_WORK_US = 30.0
# One call alone may cost this many times what it costs among others: launching it is not hidden.
ALONE_FACTOR, ALONE_SLACK_US = 2.0, {"cuda": 120.0, "cpu": 150.0}


# So many blocks in which every launch was hidden tell what the protocol costs a device.
ENOUGH_HIDDEN = 3
# A claim on a GPU is verified by a clock that is out by no more than this, or this part of it.
RESOLUTION_US, RESOLUTION_PART = 5.0, 0.25


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a trial brought to light."""

    blocks: dict[str, Samples]
    alone: dict[str, Samples]  # single calls, launch included
    singles: dict[str, Samples]  # single calls whose launch is hidden, where that can be
    checks: Checks
    oddities: tuple[Suspicion, ...]
    sealed: bool
    stolen_part: float = 0.0  # of all cores' time, taken by the host while samples were


class _Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """A role's time by its own claims and by the judge's clock, block by block."""

    claims_us: list[tuple[float, ...]]
    counted_us: list[tuple[float, ...]]  # those of them that tell how long a call takes
    clock_us: list[float]  # per call
    late_us: list[float]  # per call, part of it: what delivering took longer than it should
    hidden: list[bool]  # whether the launches of the block were, as its process says
    odd: list[bool]  # whether the device was seen to do something else than was claimed

    @property
    def usual_gap_us(self) -> float:
        """How far the clock lies above the claims where nothing was late."""
        gaps = self.gaps_us
        quiet = list(itertools.compress(gaps, self.hidden))
        return max(0.0, statistics.lower_quartile(quiet if len(quiet) >= ENOUGH_HIDDEN else gaps))

    @property
    def gaps_us(self) -> list[float]:
        """How far the judge's clock lies above the mean of the claims, per call.

        Means, so that time cannot be moved from one call of a block to another.
        """
        return [
            clock - statistics.mean(claims)
            for clock, claims in zip(self.clock_us, self.claims_us, strict=True)
        ]

    @property
    def skews(self) -> list[float]:
        """How unevenly time is spread over the calls of each block."""
        return [statistics.mean(claims) / statistics.median(claims) for claims in self.claims_us]

    @property
    def skew(self) -> float:
        """How unevenly it is spread in a typical block."""
        return statistics.median(self.skews)

    @property
    def typical_us(self) -> float:
        """The mean claim of a typical block."""
        return statistics.median([statistics.mean(claims) for claims in self.claims_us])

    def agreeing(self, usual_us: float, kind: str) -> list[int]:
        """Return the blocks in which the two clocks agree."""
        return [
            number
            for number, (gap, claims) in enumerate(zip(self.gaps_us, self.claims_us, strict=True))
            if gap <= usual_us + CLOCKS_AGREE[kind] * statistics.mean(claims)
            and not self.odd[number]
        ]

    def calm(self, usual_us: float, kind: str, uneven: float) -> list[int]:
        """Return those of them whose calls took about as long as one another."""
        skews = self.skews
        return [each for each in self.agreeing(usual_us, kind) if skews[each] <= uneven]

    def at(self, chosen: list[int]) -> _Clocks:
        """Return some of the blocks."""
        return _Clocks(
            claims_us=[self.claims_us[i] for i in chosen],
            counted_us=[self.counted_us[i] for i in chosen],
            clock_us=[self.clock_us[i] for i in chosen],
            late_us=[self.late_us[i] for i in chosen],
            hidden=[self.hidden[i] for i in chosen],
            odd=[self.odd[i] for i in chosen],
        )

    @property
    def claim(self) -> Timing:
        """The median claim."""
        return statistics.timing([claim for block in self.counted_us for claim in block])

    @property
    def clock(self) -> Timing:
        """The median by the judge's clock."""
        return statistics.timing(self.clock_us)

    def slower_us(self, kind: str, *, trusted: bool) -> list[tuple[float, ...]]:
        """Return the samples that count where the candidate's claims do not.

        On a GPU what trusted processes say stands beside the slower of the candidate's claims and
        the judge's clock; on a CPU claims and clock are not of a kind.
        """
        if kind == "cuda" and (trusted or self.clock.median_us < self.claim.median_us):
            return self.counted_us
        return [(value,) for value in self.clock_us]

    @property
    def soonest(self) -> list[int]:
        """The half of the blocks that the judge heard soonest.

        Every block holds all of its work, and lateness only ever adds.
        """
        by_clock = sorted(range(len(self.clock_us)), key=self.clock_us.__getitem__)
        return sorted(by_clock[: -(-len(by_clock) // 2)])

    def slower(self, kind: str) -> Timing:
        """The candidate's median by those samples."""
        samples = self.slower_us(kind, trusted=False)
        return statistics.timing([value for block in samples for value in block])


class _First(msgspec.Struct, frozen=True, kw_only=True):
    """What handing over the first result of a block takes, whatever more there are."""

    usual_us: float  # a witness
    mine_us: float  # the candidate, as far as that is allowed


class _Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How a candidate's claims stand to the judge's clock."""

    agreeing: list[int]  # the candidate's blocks in which the clocks agree
    resolved: bool  # the clock is fine enough to verify what is claimed
    even: list[int]  # those of them whose calls took about as long as one another
    witnesses: dict[str, list[int]]  # such blocks of each witness
    taken: int  # all of them
    hidden: bool  # its process says of most that their launches were, so that nothing was late
    short: bool  # by more than an answer that is heard late, even where the judge heard soonest
    gross: bool  # and even there, the claims are less than half of what passed
    cleared: bool  # the judge looked at the device, which was at work for no longer than claimed

    @property
    def witnessed(self) -> int:
        """How many such blocks the witness has that has most."""
        return max(map(len, self.witnesses.values()))

    @property
    def believed(self) -> bool:
        """Whether the claims count; otherwise the judge's clock does."""
        return self.resolved and len(self.even) > max(FEW_BLOCKS, LUCKY_PART * self.witnessed)

    @property
    def disputed(self) -> bool:
        """Whether the claims are no measurement: the trusted ones agree with the clock."""
        return self.hidden and len(self.agreeing) <= FEW_BLOCKS and self._is_no_lateness

    @property
    def sure(self) -> bool:
        """Whether the trusted ones agree often enough to say that the candidate's do not."""
        return self.witnessed >= SURE_BLOCKS

    @property
    def busy(self) -> bool:
        """Whether the machine is too busy to blame the candidate: trusted ones differ too."""
        return self.witnessed < CALM_PART * self.taken

    @property
    def hopeless(self) -> bool:
        """Whether more blocks would not change what is to be said of the claims."""
        return self.hidden and not self.agreeing and self._is_no_lateness

    @property
    def _is_no_lateness(self) -> bool:
        return not self.cleared and (self.gross or (self.sure and self.short))


def unsettled(
    blocks: dict[str, Samples], alone: dict[str, Samples], layers: Layers, *, kind: str
) -> bool:
    """Whether too few blocks count so far, and more may be taken.

    An honest candidate on a busy machine has some in which nothing was late. One that is honest in
    some of its blocks is measured by those; one that never is has none.
    """
    if not layers.clock or len(blocks["null"].walls_us) >= PATIENT_BLOCKS:
        return False
    found = _agreement(_all_clocks(blocks, alone, kind), kind, cleared=_is_cleared(blocks))
    if found.hopeless:
        return False
    if len(found.even) <= max(ENOUGH_BLOCKS - 1, LUCKY_PART * found.witnessed):
        return True
    both = (set(found.even) & set(calm) for calm in found.witnesses.values())
    return min(map(len, both)) < ENOUGH_BLOCKS


def weigh(evidence: Evidence, settled: Settled, layers: Layers, *, kind: str) -> AnyVerdict:
    """Return the verdict on a candidate whose every output was right."""
    clocks = _all_clocks(evidence.blocks, evidence.alone, kind)
    found = _agreement(clocks, kind, cleared=_is_cleared(evidence.blocks))
    if layers.clock and (seen := _seen_at_work(evidence.blocks)) is not None:
        return seen
    if layers.clock and found.disputed:
        return _dispute(clocks["candidate"])
    believed = found.believed or not layers.clock
    chosen = list(range(found.taken))
    if layers.clock and found.believed:
        chosen = found.even
    elif not believed and kind == "cuda":
        chosen = clocks["candidate"].soonest
    clocks = {role: each.at(chosen) for role, each in clocks.items()}
    if layers.clock and believed:
        clocks = clocks | {"candidate": _evened(clocks)}
    mine = clocks["candidate"]
    calm = {role: _places(rounds, chosen) for role, rounds in found.witnesses.items()}
    passed = _passed(evidence, clocks, calm, believed=believed, kind=kind)
    if layers.bound and (impossible := _impossible(passed.timing, settled)) is not None:
        return impossible
    doubts = [*evidence.oddities, *_suspicions(passed, settled, layers, kind=kind)]
    if evidence.stolen_part >= CALM:
        doubts = [_with_the_host_named(doubt, evidence.stolen_part) for doubt in doubts]
    if not believed:
        doubts.append(_slower_counts(mine, busy=found.busy))
    if (batched := _batched(evidence, clocks, kind)) is not None:
        doubts.append(batched)
    return replace(passed, suspicions=tuple(doubts))


def _passed(
    evidence: Evidence,
    clocks: dict[str, _Clocks],
    calm: dict[str, list[int]],
    *,
    believed: bool,
    kind: str,
) -> Passed:
    mine = clocks["candidate"]
    times = {
        role: each.counted_us if believed else each.slower_us(kind, trusted=role != "candidate")
        for role, each in clocks.items()
    }
    ratios = {
        role: statistics.ratio(_at(times[role], calm[role]), _at(times["candidate"], calm[role]))
        for role in ("eager", "compiled", "autotuned")
        if role in times
    }
    claims = {role: clocks[role].at(calm[role]).claim for role in ratios}
    against = [ratios[role] for role in ("eager", "compiled") if role in ratios]
    return Passed(
        timing=mine.claim if believed else mine.slower(kind),
        judge_clock=mine.clock,
        eager=claims["eager"],
        compiled=claims.get("compiled"),
        autotuned=claims.get("autotuned"),
        speedup=min(against, key=lambda ratio: ratio.value),
        vs_eager=ratios["eager"],
        vs_compiled=ratios.get("compiled"),
        vs_autotuned=ratios.get("autotuned"),
        checks=evidence.checks,
        call=_alone(evidence, "candidate", kind),
        sealed=evidence.sealed,
    )


def _places(rounds: list[int], chosen: list[int]) -> list[int]:
    """Return where in some chosen rounds those lie in which a witness was heard in time too.

    Looking at a candidate's good rounds and at all of a baseline's would favour the candidate. Too
    few say less than all.
    """
    found = [place for place, number in enumerate(chosen) if number in rounds]
    return found if len(found) > FEW_BLOCKS else list(range(len(chosen)))


def _at(blocks: list[tuple[float, ...]], places: list[int]) -> list[tuple[float, ...]]:
    return [blocks[place] for place in places]


# --- two clocks -----------------------------------------------------------------------------------


def _all_clocks(
    blocks: dict[str, Samples], alone: dict[str, Samples], kind: str
) -> dict[str, _Clocks]:
    idle_us = _idle_us(blocks, kind, hidden=True)
    first = _first(alone, kind)
    usual = _usually_seen(blocks)
    return {
        role: _Clocks(
            claims_us=list(each.claims_us),
            counted_us=list(each.counted_us),
            clock_us=_own(
                each, blocks["null"], idle_us, late_us := _late(each, blocks, first, kind)
            ),
            late_us=late_us,
            hidden=list(each.hidden),
            odd=_odd(each, usual) if role == "candidate" else [False] * len(each.hidden),
        )
        for role, each in blocks.items()
        if role != "null"
    }


def _idle_us(taken: dict[str, Samples], kind: str, *, hidden: bool) -> float:
    """What the protocol costs a block of calls, or a single one.

    Of ``hidden`` blocks only those count whose every launch was: a host that is late costs wall
    time in which a candidate's kernels run as well, and what is subtracted here could hide them. On
    a machine where none ever were, nothing is. On a GPU processes differ by a tenth of a
    millisecond in how soon they are heard, whatever they compute, so the witness that was heard
    soonest tells.
    """
    asked = _witnesses(taken).values() if kind == "cuda" else [taken["null"]]
    costs = [_costs_us(each) for each in asked]
    if hidden:
        costs = [
            list(itertools.compress(cost, each.hidden))
            for cost, each in zip(costs, asked, strict=True)
        ]
        costs = [cost for cost in costs if len(cost) >= ENOUGH_HIDDEN]
    return min(map(statistics.lower_quartile, costs), default=0.0)


def _witnesses(taken: dict[str, _T]) -> dict[str, _T]:
    """Return what was taken of everybody but the candidate."""
    return {role: each for role, each in taken.items() if role != "candidate"}


def _first(alone: dict[str, Samples], kind: str) -> _First:
    """What handing over a single result takes, where that is known and where processes differ."""
    if kind == "cpu" or "candidate" not in alone:
        return _First(usual_us=0.0, mine_us=0.0)
    each = {role: statistics.median(single.deliveries_us) for role, single in alone.items()}
    usual = max(_witnesses(each).values())
    return _First(usual_us=usual, mine_us=min(max(each["candidate"], usual), usual + SPARE_US))


def _costs_us(taken: Samples) -> list[float]:
    """What each block of a witness took besides its claims."""
    both = zip(taken.walls_us, taken.claims_us, strict=True)
    return [wall - sum(claims) for wall, claims in both]


def _own(samples: Samples, null: Samples, idle_us: float, late_us: list[float]) -> list[float]:
    """The judge's own clock per call, less what the protocol costs a trusted null candidate."""
    settles = SETTLING_FACTOR * statistics.median(null.settlings_us) + SETTLING_SLACK_US
    return [
        max(0.0, wall - idle_us + max(0.0, settling - settles)) / len(claims) + late
        for wall, settling, claims, late in zip(
            samples.walls_us,
            samples.settlings_us,
            samples.claims_us,
            late_us,
            strict=True,
        )
    ]


def _late(samples: Samples, blocks: dict[str, Samples], first: _First, kind: str) -> list[float]:
    """What delivering took per call beyond what it takes a trusted witness."""
    usual = max(statistics.median(each.deliveries_us) for each in _witnesses(blocks).values())
    allowed = (
        first.mine_us + DELIVERY_FACTOR * max(0.0, usual - first.usual_us) + DELIVERY_SLACK_US[kind]
    )
    return [
        max(0.0, delivery - allowed) / len(claims)
        for delivery, claims in zip(samples.deliveries_us, samples.claims_us, strict=True)
    ]


def _singly(singles: dict[str, Samples], role: str, kind: str) -> list[float]:
    """The same for single calls, which cost what they cost the witness that was heard soonest."""
    idle_us = _idle_us(singles, kind, hidden=False)
    late_us = _late(singles[role], singles, _first(singles, kind), kind)
    return _own(singles[role], singles["null"], idle_us, late_us)


def _agreement(clocks: dict[str, _Clocks], kind: str, *, cleared: bool = False) -> _Agreement:
    """Hold the claims against the judge's clock, by the measure of the trusted witnesses."""
    mine = clocks["candidate"]
    witnesses = _witnesses(clocks)
    trusted = list(witnesses.values())
    usual_us = max(each.usual_gap_us for each in trusted)
    most = UNEVEN * max(each.skew for each in trusted)
    return _Agreement(
        agreeing=mine.agreeing(usual_us, kind),
        resolved=kind == "cpu" or usual_us <= max(RESOLUTION_US, RESOLUTION_PART * mine.typical_us),
        even=mine.calm(usual_us, kind, most),
        witnesses={role: each.calm(usual_us, kind, most) for role, each in witnesses.items()},
        taken=len(mine.claims_us),
        hidden=2 * sum(mine.hidden) > len(mine.hidden),
        short=_missing_us(mine, usual_us) > LATE_US[kind],
        gross=_grossly_short(mine, trusted, usual_us),
        cleared=cleared,
    )


def _missing_us(mine: _Clocks, usual_us: float) -> float:
    """What a block's claims fall short of what passed, where the judge heard soonest."""
    calls = len(mine.claims_us[0])
    return (statistics.lower_quartile(mine.gaps_us) - usual_us) * calls


def _grossly_short(mine: _Clocks, trusted: list[_Clocks], usual_us: float) -> bool:
    """Whether claims are short by more than a machine that is busy makes anybody's."""
    if len(mine.claims_us) < SURE_BLOCKS or usual_us > min(each.typical_us for each in trusted):
        return False
    return statistics.lower_quartile(mine.gaps_us) > usual_us + mine.typical_us


def _evened(clocks: dict[str, _Clocks]) -> _Clocks:
    """Raise the claims by what the spread over a block's calls took out of their median."""
    mine = clocks["candidate"]
    usual = max(each.skew for each in _witnesses(clocks).values())
    moved = max(1.0, mine.skew / (EVEN * usual))
    return replace(
        mine,
        claims_us=_times(moved, mine.claims_us),
        counted_us=_times(moved, mine.counted_us),
    )


def _times(factor: float, blocks: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
    return [tuple(factor * claim for claim in block) for block in blocks]


def _dispute(mine: _Clocks) -> Disqualified:
    """A claim well below what the judge saw pass is no measurement."""
    late_us = statistics.median(mine.late_us)
    if late_us > statistics.median(mine.gaps_us) / 2:
        return Disqualified(
            rule="work in the delivery",
            evidence=f"handing over results that the candidate's process said were there took it "
            f"{late_us:.1f} µs per call longer than it may take, by what it takes the baselines; "
            f"its calls took {mine.claim.median_us:.1f} µs by its own report",
        )
    return Disqualified(
        rule="the clocks disagree",
        evidence=f"the candidate's process reports {mine.claim.median_us:.1f} µs per call, the "
        f"judge's clock {mine.clock.median_us:.1f} µs [{mine.clock.low_us:.1f}, "
        f"{mine.clock.high_us:.1f}], over {mine.claim.samples} calls",
    )


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the device does in a witness's block, from nearly the least to nearly the most."""

    low_us: float  # beyond the claims
    high_us: float
    delivering_us: float


def _usually_seen(blocks: dict[str, Samples]) -> _Seen | None:
    """What the judge sees of a device that did what was claimed; None where it did not look."""
    witnesses = _witnesses(blocks).values()
    # Of a witness whose launches were not hidden, the judge's kernel may have come too early.
    quiet = [list(itertools.compress(each.beyond_us, each.hidden)) for each in witnesses]
    if min(map(len, quiet), default=0) < ENOUGH_HIDDEN:
        return None
    return _Seen(
        low_us=min(map(statistics.lower_quartile, quiet)),
        high_us=max(map(statistics.upper_quartile, quiet)),
        delivering_us=max(statistics.upper_quartile(each.delivering_us) for each in witnesses),
    )


def _odd(mine: Samples, usual: _Seen | None) -> list[bool]:
    """Say of each block whether the device did something else than was claimed.

    Whose launches were hidden has work for it from the lead's end on: the judge's kernel does not
    come early.
    """
    if usual is None or len(mine.beyond_us) != len(mine.hidden):
        return [False] * len(mine.hidden)
    return [
        beyond > usual.high_us + SEEN_AT_WORK_US
        or delivering > usual.delivering_us + SEEN_AT_WORK_US
        or (hidden and beyond < usual.low_us - SEEN_AT_WORK_US)
        for beyond, delivering, hidden in zip(
            mine.beyond_us, mine.delivering_us, mine.hidden, strict=True
        )
    ]


def _looked(blocks: dict[str, Samples]) -> _Seen | None:
    """What is usually seen, where the judge looked at enough of the candidate's blocks."""
    enough = len(blocks["candidate"].beyond_us) >= ENOUGH_BLOCKS
    return _usually_seen(blocks) if enough else None


def _is_cleared(blocks: dict[str, Samples]) -> bool:
    """Whether the judge looked and saw no more work than was claimed: its clock heard late.

    Such a candidate is disqualified for nothing; where claims and clock differ, the clock counts.
    """
    mine, usual = blocks["candidate"], _looked(blocks)
    if usual is None or _seen_at_work(blocks) is not None:
        return False
    odd = _odd(mine, usual)
    return 2 * sum(odd) < len(odd)


def _seen_at_work(blocks: dict[str, Samples]) -> Disqualified | None:
    """Work on the device that no claim accounts for, in most blocks, where the judge looked."""
    mine, usual = blocks["candidate"], _looked(blocks)
    if usual is None:
        return None
    calls = len(mine.claims_us[0])
    beyond_us = statistics.median(mine.beyond_us) - usual.high_us
    if beyond_us > SEEN_AT_WORK_US:
        return Disqualified(
            rule="the clocks disagree",
            evidence=f"the device was at work for {beyond_us / calls:.1f} µs per call longer than "
            f"the candidate's process reports ({calls} calls a block, {len(mine.beyond_us)} "
            "blocks; the judge's own kernel stood in line behind them)",
        )
    late_us = statistics.median(mine.delivering_us) - usual.delivering_us
    if late_us > SEEN_AT_WORK_US:
        return Disqualified(
            rule="work in the delivery",
            evidence=f"while results that were said to be there were handed over, the device was "
            f"at work for {late_us / calls:.1f} µs per call longer than for the baselines "
            f"({calls} calls a block, {len(mine.delivering_us)} blocks)",
        )
    return None


def _slower_counts(mine: _Clocks, *, busy: bool) -> Suspicion:
    return Suspicion(
        kind="busy machine" if busy else "judge's clock",
        evidence=f"the candidate's process reports {mine.claim.median_us:.1f} µs per call, the "
        f"judge's clock {mine.clock.median_us:.1f} µs; the slower one counts",
    )


def _alone(evidence: Evidence, role: str, kind: str) -> Timing | None:
    """One call at a time on the judge's clock, launch and synchronisation included."""
    if role not in evidence.alone:
        return None
    took_us = _singly(evidence.alone, role, kind)
    if kind == "cuda":  # the device was busy for as long as its process says
        claims = (each[0] for each in evidence.alone[role].claims_us)
        took_us = list(map(max, took_us, claims))
    return statistics.timing(took_us)


def _batched(evidence: Evidence, clocks: dict[str, _Clocks], kind: str) -> Suspicion | None:
    """Calls that cost much less together than alone may have been done together."""
    singles = {role: _singly(evidence.singles, role, kind) for role in clocks if evidence.singles}
    if "candidate" not in singles:
        return None
    # The fastest quarter of single calls: lateness only ever adds.
    extra = {
        role: statistics.lower_quartile(each) - clocks[role].clock.median_us
        for role, each in singles.items()
    }
    mine = clocks["candidate"]
    together = max(mine.clock.median_us, mine.claim.median_us)
    usual = max([0.0, *_witnesses(extra).values()])
    usual += max(statistics.quartile_range(each) for each in singles.values())
    if extra["candidate"] <= (ALONE_FACTOR - 1) * together + usual + ALONE_SLACK_US[kind]:
        return None
    return Suspicion(
        kind="cheaper together",
        evidence=f"a call takes {extra['candidate']:.1f} µs more alone than the {together:.1f} µs "
        f"among {len(mine.claims_us[0])}, on the judge's clock; the baselines {usual:.1f} µs",
    )


# --- what cannot be, and what is doubtful ---------------------------------------------------------


def _impossible(timing: Timing, settled: Settled) -> Disqualified | None:
    bound = settled.bound_us
    if bound is None or timing.median_us >= bound or settled.work.caveats:
        return None
    return Disqualified(
        rule="faster than the device allows",
        evidence=f"{timing.median_us:.1f} µs per call; moving {settled.work.bytes_needed:,} "
        f"bytes and doing the operations takes at least {bound:.1f} µs on "
        f"{settled.ceilings.device}",
    )


def _suspicions(
    passed: Passed, settled: Settled, layers: Layers, *, kind: str
) -> Iterator[Suspicion]:
    median, fitness = passed.timing.median_us, settled.fitness
    floor = roofline.measured_ceiling(settled.work, settled.ceilings)
    if fitness.weak and layers.fitness:
        yield Suspicion(
            kind="weak problem",
            evidence=f"an impostor passes here ({', '.join(fitness.accepted)}), so no "
            "speedup on this problem means anything",
        )
    # Operations are no floor for suspicion: split products on tensor cores honestly beat the plain
    # pipes, and the datasheet's bound has been checked. Where their rate is unknown, bytes are one.
    least = floor or roofline.bytes_ceiling(settled.work, settled.ceilings)
    by_bytes = least is not None and least.by == "bytes" and kind == "cuda"
    if least is not None and by_bytes and median < least.us * BELOW_FLOOR:
        yield Suspicion(
            kind="below the measured floor", evidence=f"{median:.1f} µs; the floor is {least.text}"
        )
    ratio = passed.speedup
    if (ratio.high - ratio.low) / 2 > NOISY[kind] * ratio.value:
        yield Suspicion(
            kind="noisy",
            evidence=f"{ratio.value:.2f}x may be anything from {ratio.low:.2f}x to "
            f"{ratio.high:.2f}x (95 %, {passed.timing.samples} samples): the baseline's or the "
            "kernel's time jumped; only the lower end counts",
        )
    if passed.vs_compiled is not None and passed.vs_compiled.value > INCREDIBLE:
        yield Suspicion(
            kind="incredible",
            evidence=f"{passed.vs_compiled.value:.2f}x torch.compile; over {INCREDIBLE:g}x is "
            "more often a bug than a breakthrough "
            f"(judge's clock {passed.judge_clock.median_us:.1f} µs, {passed.checks.calls} checked "
            f"calls, {passed.timing.samples} timed and checked"
            f"{_room(passed, floor)})",
        )


def _with_the_host_named(doubt: Suspicion, part: float) -> Suspicion:
    """Say of a noisy time what may have made it one."""
    if doubt.kind != "noisy":
        return doubt
    said = f"the host of this virtual machine took {part:.0%} of its cores' time meanwhile"
    return replace(doubt, evidence=f"{doubt.evidence}; {said}")


def _room(passed: Passed, floor: Floor | None) -> str:
    """Say how far torch.compile is from the floor itself: what there is to win honestly."""
    if floor is None or passed.compiled is None or floor.by != "bytes":
        return ""
    times = passed.compiled.median_us / floor.us
    return f"; torch.compile itself takes {times:.1f} times the measured floor"
