"""Which instructions and source lines the warp samples point at, and which load feeds each of them.

It sums over a report's instructions; whether a sum is a sickness is decided by `findings`.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from refine_agent.profiling.evidence import Instruction, KernelReport

# In these two states a warp is not held up by anything it could avoid.
_ABLE = {"selected", "not_selected"}


class HotSpot(msgspec.Struct, frozen=True, kw_only=True):
    """A source line (or instruction, without line info) and its share of all held-up samples."""

    where: str
    share: float
    reason: str
    sass: str
    fed_by: str | None = None
    called_from: str | None = None


def held(instruction: Instruction) -> int:
    """Return the samples in which a warp was held up at this instruction."""
    return sum(count for reason, count in instruction.stalls.items() if reason not in _ABLE)


def all_held(report: KernelReport) -> int:
    """Return the held-up samples of the whole kernel."""
    kept = sum(held(one) for one in report.instructions)
    able = sum(one.stalls.get(reason, 0) for one in report.instructions for reason in _ABLE)
    # Instructions that were not kept count too, or a trimmed report would overstate its lines.
    return max(kept, report.samples - able)


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Held-up samples, charged to the instruction that caused them."""

    offset: int
    where: str
    reason: str
    samples: int


def charges(report: KernelReport) -> Iterator[Charge]:
    """Yield every held-up sample, charged to what was waited for.

    A warp that waits for a result or at a barrier stands at the instruction after; the load and the
    barrier are to blame. Waiting for a queue or a pipe is the stalled instruction's own doing.
    """
    for one in report.instructions:
        for reason, samples in one.stalls.items():
            if reason in _ABLE:
                continue
            source = one.waits_for
            if source is not None and source.reason == reason:
                yield Charge(
                    offset=source.offset,
                    where=str(source.place) if source.place else offset_of(source.offset),
                    reason=reason,
                    samples=samples,
                )
            else:
                yield Charge(offset=one.offset, where=where(one), reason=reason, samples=samples)


def share(report: KernelReport, guilty: Iterable[Instruction]) -> float:
    """Return the share of held-up samples charged to these instructions."""
    total, offsets = all_held(report), {one.offset for one in guilty}
    if not total:
        return 0.0
    return sum(one.samples for one in charges(report) if one.offset in offsets) / total


def line_charged_most(report: KernelReport, guilty: Iterable[Instruction]) -> str | None:
    """Return the line of these instructions that warps wait for most; None without samples."""
    offsets = {one.offset for one in guilty}
    totals: dict[str, int] = {}
    for one in charges(report):
        if one.offset in offsets:
            totals[one.where] = totals.get(one.where, 0) + one.samples
    return max(totals, key=lambda line: totals[line], default=None)


def spins(report: KernelReport) -> tuple[Instruction, ...]:
    """Return the loads by which warps wait for words that other blocks publish."""
    return tuple(one for one in report.instructions if one.polls)


def mbarrier_share(report: KernelReport) -> float:
    """Return the share of held-up samples in which warps waited for an mbarrier."""
    waits = {
        one.waits_for.offset
        for one in report.instructions
        if one.waits_for is not None and "TRYWAIT" in one.waits_for.sass
    }
    total = all_held(report)
    return (
        sum(one.samples for one in charges(report) if one.offset in waits) / total if total else 0.0
    )


def where(instruction: Instruction) -> str:
    """Return file and line, or the instruction's offset where there is no line info."""
    return str(instruction.place) if instruction.place else offset_of(instruction.offset)


def offset_of(offset: int) -> str:
    """Return an instruction's place in its kernel, for want of a line."""
    return f"+0x{offset:04x}"


def line_of_most(
    instructions: Iterable[Instruction], weight: Callable[[Instruction], float]
) -> str | None:
    """Return the line on which `weight` adds up to most, or None if it is zero everywhere."""
    totals: dict[str, float] = {}
    for one in instructions:
        totals[where(one)] = totals.get(where(one), 0) + weight(one)
    best = max(totals, key=lambda line: totals[line], default=None)
    return best if best is not None and totals[best] > 0 else None


def hot_spots(report: KernelReport, most: int = 4) -> tuple[HotSpot, ...]:
    """Return the lines with the most held-up samples, each with what its worst spot waits for."""
    total = all_held(report)
    lines: dict[str, list[Instruction]] = {}
    for one in report.instructions:
        if held(one):
            lines.setdefault(where(one), []).append(one)
    ranked = sorted(lines.items(), key=lambda item: -sum(held(one) for one in item[1]))
    stores = [one for one in report.instructions if one.opcode.startswith(("ST", "RED"))]
    drained = line_of_most(stores, lambda one: one.executed)
    polling = line_of_most(spins(report), lambda one: one.executed)
    return tuple(
        _hot_spot(line, found, total, drained=drained, polling=polling)
        for line, found in ranked[:most]
    )


def _hot_spot(
    line: str, found: list[Instruction], total: int, *, drained: str | None, polling: str | None
) -> HotSpot:
    worst = max(found, key=held)
    reasons = {why: count for why, count in worst.stalls.items() if why not in _ABLE}
    reason = max(reasons, key=lambda why: reasons[why])
    source = worst.waits_for
    fed_by = None
    if source is not None and source.reason == reason:
        fed_by = f"{source.sass} at {source.place}" if source.place else source.sass
    if fed_by is not None and source is not None and "TRYWAIT" in source.sass:
        fed_by = f"an mbarrier ({fed_by}): a bulk copy, or the other side of the pipeline"
        # Whoever arrives late may itself wait: a few samples of one warp hold up all the others.
        fed_by += f", which may wait for other blocks at {polling}" if polling else ""
    if reason == "drain" and drained is not None:
        # Warps that wait for their stores stand at the kernel's end, whatever instruction is there.
        fed_by = f"its stores at {drained}"
    return HotSpot(
        where=line,
        share=sum(held(one) for one in found) / total if total else 0.0,
        reason=reason,
        sass=worst.sass,
        fed_by=fed_by,
        called_from=str(worst.called_from) if worst.called_from else None,
    )
