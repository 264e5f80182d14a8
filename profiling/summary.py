"""One page from everything that was measured: floors, traffic, findings, details, NVIDIA's rules.

It chooses the rung, weighs kernels by time and orders the lines; numbers come from `metrics`,
causes from `findings`, floors from `roofline`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from refine_agent.profiling import call, details, diagnosis, findings, ncu_rep, plain, roofline
from refine_agent.profiling.call import Call
from refine_agent.profiling.evidence import CpuRun, KernelReport, Static, Trace
from refine_agent.profiling.plain import percent
from refine_agent.profiling.records import Ceilings, Finding, Page, Rival, Rung, Work

# About 1,200 tokens at four characters each (the usual estimate for English and code).
MOST_CHARS = 4800
CHARS_PER_TOKEN = 4
DETAILED_KERNELS = 2
MOST_KERNELS = 8
# Eight lines about a kernel that fills 16 KB are eight lines less about the one that matters.
WORTH_DETAILS = 0.02
SHOWN_FINDINGS = 6
SHOWN_SMALLER = 2

_RUNG_NAMES: dict[Rung, str] = {
    "ncu": "Nsight Compute",
    "torch.profiler": "torch.profiler",
    "static": "compiler and SASS only",
    "timing": "timing only",
}
# Where a candidate calls no operator of torch's, torch.profiler has nothing to add to these.
_ON_A_CPU = "the compiler and the processor's own counts of time and page faults"
_EMPTY_REPORT = (
    "Nsight Compute's report holds no duration; it collected nothing that this device has"
)
_ONLY_THE_FIRST = "first {} of {} launches; --nvtx names which to take"
_WHY = {
    "torch.profiler": "no Nsight Compute report was given",
    "static": "neither Nsight Compute nor torch.profiler ran",
    "timing": "no profiler and no compiler report was given",
}


def page(  # noqa: PLR0913  (each is one source of evidence, and any may be missing)
    *,
    candidate_digest: str,
    device: str,
    shape: str,
    work: Work | None,
    ceilings: Ceilings | None,
    timing_us: float | None,
    reports: Sequence[KernelReport] = (),
    trace: Trace | None = None,
    static: Static | None = None,
    why_not_higher: str | None = None,
    cpu: CpuRun | None = None,
    rivals: Sequence[Rival] = (),
    launches: int | None = None,
) -> Page:
    """Return the page of one candidate on one shape, from whatever evidence there is.

    `timing_us` is the judge's median of one call; `reports` are the launches that Nsight Compute
    saw in it. `why_not_higher` is the refusal's sentence where a better rung failed. `rivals` are
    baselines' times for the same call: a faster one proves that there is something left to win.
    `launches` is how many there are where `reports` are only the first of them.
    """
    if reports and not any(report.time_us for report in reports):
        reports, why_not_higher = (), why_not_higher or _EMPTY_REPORT
    rung = _rung(reports, trace, static)
    this = Call(
        work=work,
        ceilings=ceilings or (roofline.from_report(reports[0]) if reports else None),
        timing_us=timing_us,
        reports=tuple(reports),
        trace=trace,
        static=static,
        cpu=cpu,
        rivals=tuple(rivals),
    )
    found = diagnosis.diagnose(this)
    if rung != "ncu" and cpu is None:
        why_not_higher = why_not_higher or _WHY[rung]
    head = _head(candidate_digest, device, shape, rung, why_not_higher, on_cpu=cpu is not None)
    if launches is not None and launches > len(reports):
        head = f"{head}; {_ONLY_THE_FIRST.format(len(reports), launches)}"
    lines = [head, *details.overview(this), *_findings(found, this), *_details(this)]
    return Page(
        candidate_digest=candidate_digest,
        rung=rung,
        why_not_higher=why_not_higher,
        device=device,
        shape=shape,
        kernels=call.kernels(this),
        metrics=call.metrics_of(this),
        findings=found,
        lines=_within_budget(lines),
    )


def read_report_page(
    path: Path, *, nvtx: str | None = None, ceilings: Ceilings | None = None
) -> Page:
    """Return the page of an existing Nsight Compute report; needs neither GPU nor candidate.

    All kernels of the report are taken for one call unless `nvtx` names a range.

    Raises:
        UnreadableReport: the file is no report, or holds no kernel (in that range).
    """
    found = ncu_rep.read_apart(path.resolve(), nvtx=nvtx)  # a link of the caller's own
    if not found.kernels:
        within = f" inside the range {nvtx}" if nvtx else ""
        raise ncu_rep.UnreadableReport(f"{path.name} holds no kernel{within}")
    return page(
        candidate_digest=plain.file_name(path.name),
        device=found.kernels[0].device,
        shape="as recorded",
        work=None,
        ceilings=ceilings,
        timing_us=None,
        reports=found.kernels,
        launches=found.total,
    )


def tokens(text: str) -> int:
    """Estimate the tokens of a text: one per four characters, rounded up."""
    return -(-len(text) // CHARS_PER_TOKEN)


def _rung(reports: Sequence[KernelReport], trace: Trace | None, static: Static | None) -> Rung:
    if reports:
        return "ncu"
    if trace is not None and (trace.kernels or trace.operators):
        return "torch.profiler"
    return "static" if static is not None and (static.kernels or static.loops) else "timing"


def _head(  # noqa: PLR0913  (each is a word of one sentence)
    digest: str, device: str, shape: str, rung: Rung, why: str | None, *, on_cpu: bool
) -> str:
    seen_by = _ON_A_CPU if on_cpu and rung == "static" else _RUNG_NAMES[rung]
    words = f"PROFILE of {digest} on {device}, {shape}; seen by {seen_by}"
    return f"{words} (not higher: {why})" if why else words


def _findings(found: tuple[Finding, ...], this: Call) -> Iterable[str]:
    if not found:
        yield from _nothing_large(this)
        return
    yield "FINDINGS, by the share of the call's time at stake (estimates; they overlap)"
    for number, one in enumerate(found[:SHOWN_FINDINGS], 1):
        yield f"{number}. {_sentence(one, this)}"


def _sentence(one: Finding, this: Call) -> str:
    place = f" at {one.where}" if one.where else ""
    kernel = f" in {one.kernel}" if one.kernel and len(call.kernels(this)) > 1 else ""
    return f"{one.kind} ({percent(one.severity)}){place}{kernel}: {one.text}. Try: {one.advice}."


# Two kernels of one kind differ by as much in two runs: nearer than this nothing is to be won.
AT_THE_FLOOR = 0.05


def _nothing_large(this: Call) -> Iterable[str]:
    """Say why nothing is listed, and what is largest of the rest while something is left to win."""
    room, rival = call.room(this), call.ahead(this)
    if room is not None and room < AT_THE_FLOOR and rival is None:
        yield (
            f"FINDINGS none: within {percent(AT_THE_FLOOR)} of {call.floor_name(this)}; only fewer "
            f"{_needs(this)} would be faster (fuse it with its neighbours, or use a smaller type)"
        )
        return
    left = "" if room is None else f"; {percent(room)} of the time lie above the floor"
    left += _outside(this, room)
    smaller = diagnosis.smaller(this)
    none = f"none of {percent(findings.LEAST_SEVERITY)} of the time or more"
    if not smaller:
        none = f"none: nothing seen here costs {percent(diagnosis.LEAST_WORD)} of the time or more"
    if not smaller and call.unweighed(this):
        none = "none weighed: how busy the memory and the SMs were was not measured"
    yield (f"FINDINGS {none}{left}{_proof(this, rival)}")
    for one in smaller[:SHOWN_SMALLER]:
        yield f"smaller: {_sentence(one, this)}"


def _outside(this: Call, room: float | None) -> str:
    """Say how much of what lies above the floor no kernel can win back."""
    took, kernels = call.time_us(this), call.kernels_us(this)
    if room is None or this.timing_us is None or not took or not kernels or kernels >= took:
        return ""
    # What the L2 has to write back is part of the floor's bytes, not of a launch.
    outside = 1 - (kernels + call.write_back_us(this)) / took
    return f", {percent(outside)} outside its kernels" if outside > room / 4 else ""


def _proof(this: Call, rival: Rival | None) -> str:
    took = call.time_us(this)
    if rival is None or not took:
        return ""
    share = percent(1 - rival.time_us / took)
    return (
        f"; {rival.name} proves that {share} can be won with the same bytes: compare its kernel "
        "(TORCH_LOGS=output_code prints it) in grid, bytes in flight and the kinds of its stores"
    )


def _needs(this: Call) -> str:
    floor = call.floor(this)
    return floor.by if floor is not None else "bytes"


def _details(this: Call) -> Iterable[str]:
    every = call.heaviest(this, MOST_KERNELS)
    heavy = [report for report in every if call.share_of(this, report.name) >= WORTH_DETAILS]
    shown = heavy[:DETAILED_KERNELS] or every[:1]
    for report in shown:
        if len(call.kernels(this)) > 1:
            yield f"KERNEL {report.name}"
        yield from details.kernel(report)
    left = [f"{one.name} {percent(call.share_of(this, one.name))}" for one in every[len(shown) :]]
    if left:
        yield f"KERNELS WITHOUT DETAILS HERE  {'; '.join(left)}"
    yield from details.compiled(this)
    yield from details.processor(this)
    yield from details.rules(this)
    yield from details.unknown(this)


def _within_budget(lines: Sequence[str]) -> tuple[str, ...]:
    """Drop lines from the end, where the least important ones stand, until the page fits."""
    kept, size = [], 0
    for line in lines:
        size += len(line) + 1
        if size > MOST_CHARS:
            break
        kept.append(line)
    return tuple(kept)
