"""Which instructions and source lines the warp samples point at, and which load feeds each of them.

It sums over a report's instructions; whether a sum is a sickness is decided by `findings`.
"""

from collections.abc import Callable, Iterable

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


def held(instruction: Instruction) -> int:
    """Return the samples in which a warp was held up at this instruction."""
    return sum(count for reason, count in instruction.stalls.items() if reason not in _ABLE)


def all_held(report: KernelReport) -> int:
    """Return the held-up samples of the whole kernel."""
    kept = sum(held(one) for one in report.instructions)
    able = sum(one.stalls.get(reason, 0) for one in report.instructions for reason in _ABLE)
    # Instructions that were not kept count too, or a trimmed report would overstate its lines.
    return max(kept, report.samples - able)


def share(report: KernelReport, is_to_blame: Callable[[Instruction], bool]) -> float:
    """Return the share of held-up samples at such instructions, or waiting for their results."""
    total = all_held(report)
    if not total:
        return 0.0
    guilty = {one.offset for one in report.instructions if is_to_blame(one)}
    return (
        sum(
            held(one)
            for one in report.instructions
            if one.offset in guilty or (one.waits_for and one.waits_for.offset in guilty)
        )
        / total
    )


def where(instruction: Instruction) -> str:
    """Return file and line, or the instruction's offset where there is no line info."""
    return str(instruction.place) if instruction.place else f"+0x{instruction.offset:04x}"


def line_of_most(
    instructions: Iterable[Instruction], weight: Callable[[Instruction], float]
) -> str | None:
    """Return the line on which `weight` adds up to most, or None if it is zero everywhere."""
    totals: dict[str, float] = {}
    for one in instructions:
        totals[where(one)] = totals.get(where(one), 0) + weight(one)
    best = max(totals, key=lambda line: totals[line], default=None)
    return best if best is not None and totals[best] > 0 else None


def line_waited_for(
    report: KernelReport, reason: str, opcode: Callable[[str], bool] = lambda _name: True
) -> str | None:
    """Return the line whose results warps wait for most, for that stall reason."""
    totals: dict[str, int] = {}
    by_offset = {one.offset: one for one in report.instructions}
    for one in report.instructions:
        source = one.waits_for
        if source is None or not opcode(source.sass) or not one.stalls.get(reason):
            continue
        fed = by_offset.get(source.offset)
        line = (
            where(fed)
            if fed
            else (str(source.place) if source.place else f"+0x{source.offset:04x}")
        )
        totals[line] = totals.get(line, 0) + one.stalls[reason]
    return max(totals, key=lambda line: totals[line], default=None)


def hot_spots(report: KernelReport, most: int = 4) -> tuple[HotSpot, ...]:
    """Return the lines with the most held-up samples, each with what its worst spot waits for."""
    total = all_held(report)
    lines: dict[str, list[Instruction]] = {}
    for one in report.instructions:
        if held(one):
            lines.setdefault(where(one), []).append(one)
    ranked = sorted(lines.items(), key=lambda item: -sum(held(one) for one in item[1]))
    return tuple(_hot_spot(line, found, total) for line, found in ranked[:most])


def _hot_spot(line: str, found: list[Instruction], total: int) -> HotSpot:
    worst = max(found, key=held)
    reasons = {why: count for why, count in worst.stalls.items() if why not in _ABLE}
    source = worst.waits_for
    fed_by = None
    if source is not None:
        fed_by = f"{source.sass} at {source.place}" if source.place else source.sass
    return HotSpot(
        where=line,
        share=sum(held(one) for one in found) / total if total else 0.0,
        reason=max(reasons, key=lambda why: reasons[why]),
        sass=worst.sass,
        fed_by=fed_by,
    )
