"""What a page costs and finds, next to `--set full` and to other agents' metric lists.

    python benchmarks/profile_page.py                        # from what is recorded
    python benchmarks/profile_page.py --live --out FILE      # on a GPU: seconds, within --budget
    python benchmarks/profile_page.py --write --with FILE…  # into results/profile_page.md, .json

FILE is what `--live` wrote, or the probes.json of `tests/profiling/zoo/record.py --what probes`;
what was measured anew takes the place of what was measured before.
Tokens are characters over four, for every column alike. The other lists' findings are those of this
project's rules fed with nothing but the counters of that list: they say what is in the numbers, not
what the list's own project or its model makes of them. No list holds a source line.
"""

import argparse
import json
import lzma
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec
from msgspec.structs import replace

from benchmarks.peer_metrics import CUDAFORGE, KERNELAGENT
from refine_agent.builder.run import run_plainly
from refine_agent.profiling import metrics, ncu, ncu_rep, summary, trace
from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.records import Page
from tests.profiling.zoo.animals import Animal, Recording, animals, recorded, recording
from tests.profiling.zoo.studio import bounded

THIS = "this page"
SETS = "the same by NVIDIA's sets"
# One call on 4096x8192 floats: process start, import, a kernel, a range, and the end that
# `worker.single` makes.
WORKER = """
import os, torch
{start}
x = torch.randn(4096, 8192, device="cuda")
weight, bias = torch.randn(2, 8192, device="cuda")
{call}
torch.cuda.synchronize()
torch.cuda.nvtx.range_push("candidate")
{call}
torch.cuda.synchronize()
torch.cuda.nvtx.range_pop()
os._exit(0)
"""
# A candidate as models write them, built on the light headers before the clock starts.
CANDIDATE = Path(__file__).with_name("kernels") / "layernorm_cuda.py"
IMPORT = """
import importlib.machinery, importlib.util
loader = importlib.machinery.ExtensionFileLoader({module!r}, {path!r})
built = importlib.util.module_from_spec(importlib.util.spec_from_loader({module!r}, loader))
loader.exec_module(built)
"""
COLLECTIONS = {
    THIS: ncu.default_collection(),
    SETS: ncu.larger_collection(),
    "--set full": ["--set", "full"],
    "CudaForge's list": ["--metrics", ",".join(CUDAFORGE)],
    "KernelAgent's list": ["--metrics", ",".join(KERNELAGENT)],
}
RESULTS = Path(__file__).with_name("results") / "profile_page.md"
MEASURED = RESULTS.with_name("profile_page-h200.json")
WHOLE = (
    "A whole candidate: a LayerNorm of 4096x8192 through load_inline, built before, from starting "
    "its process to its page"
)
LIBRARY = "The same of torch's own LayerNorm, with 2.8 MB of a library's machine code to read"
PROBED = {
    "costs": "One launch of one kernel, a copy of 537 MB without torch, to the report",
    "costs of three launches": "A call of three kernels without torch, to the report",
}
# The probes' names for what is called otherwise here.
ALIKE = {
    "page": THIS,
    "page by larger sets": SETS,
    "set full": "--set full",
    "CudaForge's metrics": "CudaForge's list",
    "KernelAgent's metrics": "KernelAgent's list",
}
FULL = Path(__file__).parents[1] / "tests" / "profiling" / "recorded" / "ln_full.ncu-rep.xz"
SESSIONS = Path(__file__).parents[1] / "transcripts" / "recorded"
LISTS = {"CudaForge's list": CUDAFORGE, "KernelAgent's list": KERNELAGENT}
REPEATS = 3
# No run takes longer than this, or it hangs; none is begun with less than that left.
SECONDS = 30
LEAST_SECONDS = 12


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--live", action="store_true", help="measure seconds here, on a GPU")
    parser.add_argument("--out", type=Path, help="write what --live measured as JSON")
    parser.add_argument("--budget", type=float, default=170, help="begin no run after so long (s)")
    parser.add_argument("--with", dest="new", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} and its JSON")
    options = parser.parse_args()
    if options.live:
        _measure(options.out, budget=options.budget)
        return
    known = _known(options.new)
    text = _table(known)
    print(text)
    if options.write:
        RESULTS.write_text(text)
        MEASURED.write_bytes(msgspec.json.format(msgspec.json.encode(known), indent=1))


def _measure(out: Path | None, *, budget: float) -> None:
    """Measure round by round; what was measured before one fails, or time is up, is on file."""
    day = datetime.now(UTC).date().isoformat()
    found: dict[str, Any] = {"device": _device(), "ncu": _ncu_version(), "day": day}
    until = time.monotonic() + budget
    with tempfile.TemporaryDirectory() as scratch:
        workers = {"whole": Path(scratch) / "whole.py", "library": Path(scratch) / "library.py"}
        # All columns before any of them again: none is missing for want of time, and all drift
        # alike. The first start fills the file cache and is not counted.
        try:
            workers["whole"].write_text(_candidate(Path(scratch)))
            norm = "torch.nn.functional.layer_norm(x, (8192,), weight, bias)"
            workers["library"].write_text(WORKER.format(start="", call=norm))
            _seconds([sys.executable, str(workers["whole"])])
        except RuntimeError as error:
            sys.exit(f"nothing to measure here, run it on a CUDA device ({str(error)[-120:]})")
        rounds = [("whole", name) for name in ("bare process", *COLLECTIONS)]
        for _ in range(REPEATS):
            for what, name in [*rounds, ("library", THIS), ("library", SETS)]:
                if time.monotonic() + LEAST_SECONDS > until:
                    print(f"{what} {name:24} out of time")
                    continue
                _measure_one(name, workers[what], Path(scratch), found.setdefault(what, {}))
                if out:
                    out.write_text(json.dumps(found, indent=1))


def _candidate(folder: Path) -> str:
    """Build the candidate as turns do, and return the worker that calls it."""
    from benchmarks.flavours import captured_requests  # noqa: PLC0415 - imports torch
    from refine_agent import builder  # noqa: PLC0415 - as the above, for --live only
    from refine_agent.bench import machine  # noqa: PLC0415 - likewise

    source = folder / "candidate.py"
    source.write_text(CANDIDATE.read_text(encoding="utf-8").replace("SALT", str(time.time_ns())))
    cache = machine.cache_folder()
    builder.prepare(run=run_plainly, cache=cache, device="cuda")
    (request,) = captured_requests(source)
    built = builder.build(request, run=run_plainly, cache=cache, device="cuda", flavour="light")
    if isinstance(built, builder.Rejected):
        sys.exit(f"{CANDIDATE.name} does not build: {built.log[-300:]}")
    start = IMPORT.format(module=built.module, path=built.path)
    return WORKER.format(start=start, call="built.layer_norm(x, weight, bias, 1e-5)")


def _measure_one(name: str, worker: Path, folder: Path, found: dict[str, Any]) -> None:
    try:
        run: dict[str, Any] = (
            _profiled(worker, folder, COLLECTIONS[name])
            if name in COLLECTIONS
            else {"seconds": _seconds([sys.executable, str(worker)])}
        )
    except (RuntimeError, ncu_rep.UnreadableReport) as error:
        print(f"{worker.stem} {name:24} failed: {error}")
        return
    runs = found.setdefault(name, {"runs": []})["runs"]
    runs.append(run)
    spread = _spread([float(one["seconds"]) for one in runs])
    print(f"{worker.stem} {name:24} {spread}; {_details(run)}", flush=True)


def _details(run: dict[str, Any]) -> str:
    if "passes" not in run:
        return "no profiler"
    return (
        f"{run['passes']} passes; report {run['bytes'] >> 10} KB; page {run['tokens']} tokens; "
        f"findings {run['findings']}"
    )


def _device() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return next(iter(bounded(query, seconds=SECONDS).printed.strip().splitlines()), "unknown")


def _ncu_version() -> str | None:
    tool = ncu.available(version_output=bounded(["ncu", "--version"], seconds=SECONDS).printed)
    return tool.version if tool else None


def _profiled(worker: Path, folder: Path, collect: Sequence[str]) -> dict[str, object]:
    """Profile one call, read the report, render the page: all between a turn and its prompt."""
    report, log = folder / "page.ncu-rep", folder / "page.log"
    report.unlink(missing_ok=True)
    around = [sys.executable, str(worker)]
    start = time.monotonic()
    taken = _seconds(ncu.command(around, report=report, log=log, collect=collect))
    reports = ncu_rep.read_apart(report).kernels
    page = _page(reports)
    return {
        "seconds": time.monotonic() - start,
        "ncu_seconds": taken,
        "passes": ncu.passes(log.read_text(errors="replace")),
        "bytes": report.stat().st_size,
        "tokens": summary.tokens(page.text()),
        "findings": [finding.kind for finding in page.findings],
        "absent": len(reports[0].absent) if reports else None,
    }


def _seconds(command: Sequence[str]) -> float:
    done = bounded(command, seconds=SECONDS)
    if done.exit_code != 0:
        raise RuntimeError(f"exit code {done.exit_code}: {(done.said or done.printed)[-300:]}")
    return done.seconds


def _spread(seconds: list[float]) -> str:
    if len(seconds) == 1:
        return f"{seconds[0]:.2f} s, once"
    middle = statistics.median(seconds)
    return f"{middle:.2f} s median of {len(seconds)} ({min(seconds):.2f} to {max(seconds):.2f})"


def _page(reports: Sequence[KernelReport], recording: Recording | None = None) -> Page:
    rows = recording.rows if recording else None
    return summary.page(
        candidate_digest="benchmark",
        device=reports[0].device if reports else "unknown",
        shape="benchmark",
        work=recording.measured.work() if recording else None,
        ceilings=recording.ceilings if recording else None,
        timing_us=recording.measured.time_us if recording else None,
        reports=reports,
        trace=trace.read(rows) if rows else None,
    )


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one way to profile, run by run; passes and size of the report of the last run."""

    collected: str
    seconds: tuple[float, ...]
    passes: int | None = None
    bytes: int | None = None


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Ways to profile the same thing, measured on one device on one day."""

    what: str
    device: str
    ncu: str | None
    day: str
    costs: tuple[Cost, ...]


def _known(new: Sequence[Path]) -> list[Costs]:
    """Return what is on file, with what was measured anew beside it, or in its place.

    Beside it where device, Nsight Compute and day are the same, and the passes too: how loaded a
    host is differs from one hour to the next, and the median is to be of all that was seen.
    """
    blocks = msgspec.json.decode(MEASURED.read_bytes(), type=list[Costs])
    by_name = {block.what: block for block in blocks}
    for path in new:
        for block in _blocks(json.loads(path.read_text())):
            by_name[block.what] = _pooled(by_name.get(block.what), block)
    return list(by_name.values())


def _pooled(known: Costs | None, new: Costs) -> Costs:
    if known is None or (known.device, known.ncu, known.day) != (new.device, new.ncu, new.day):
        return new
    found = {cost.collected: cost for cost in known.costs}
    for cost in new.costs:
        before = found.get(cost.collected)
        alike = before is not None and before.passes == cost.passes
        earlier = before.seconds if before is not None and alike else ()
        found[cost.collected] = replace(cost, seconds=(*earlier, *cost.seconds))
    return replace(new, costs=tuple(found.values()))


def _blocks(measured: dict[str, Any]) -> Iterator[Costs]:
    """Yield what `--live` or the zoo's probes wrote, as costs."""
    about = {name: measured.get(name) or "unknown" for name in ("device", "ncu", "day")}
    for name, what in {"whole": WHOLE, "library": LIBRARY}.items():
        if name in measured:
            costs = tuple(_whole(*one) for one in measured[name].items())
            yield Costs(what=what, costs=costs, **about)
    for name, what in PROBED.items():
        if name in measured:
            costs = tuple(_probed(*one) for one in measured[name].items())
            yield Costs(what=what, costs=costs, **about)


def _whole(name: str, one: dict[str, Any]) -> Cost:
    last = one["runs"][-1]
    return Cost(
        collected=name,
        seconds=tuple(round(run["seconds"], 2) for run in one["runs"]),
        passes=sum(last.get("passes", {}).values()) or None,
        bytes=last.get("bytes"),
    )


def _probed(name: str, one: dict[str, Any]) -> Cost:
    seconds = one["seconds"] if isinstance(one["seconds"], list) else [one["seconds"]]
    return Cost(
        collected=ALIKE.get(name, name),
        seconds=tuple(seconds),
        passes=sum(one["passes"].values()) or None,
        bytes=one["bytes"],
    )


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What one way of profiling shows of the zoo."""

    counters: str
    tokens: float
    hits: str
    clean: str
    lines: str


def _table(known: list[Costs]) -> str:
    """Return the comparison as Markdown."""
    names = [name for name in recorded() if not _animal(name).unseen]
    seen = [recording(name) for name in names]
    columns = {THIS: _column(seen, None)}
    for name, counters in LISTS.items():
        columns[name] = _column(seen, counters)
    columns["--set full"] = _everything()
    lines = [
        "# What a page costs and finds",
        "",
        "Written by `benchmarks/profile_page.py`, which says how to read it.",
        "",
        "## Seconds",
        *_in_sessions(),
        *(line for block in known for line in _seconds_lines(block)),
        "## Findings",
        f"{len(names)} recordings of the zoo ({seen[0].device}, driver {seen[0].driver}, ncu",
        f"{seen[0].ncu_version}); tokens are characters over four, medians.",
        "",
        "| collected | counters | tokens | right first, by these rules | healthy: none | lines |",
        "|---|---|---|---|---|---|",
    ]
    for name, column in columns.items():
        lines.append(
            f"| {name} | {column.counters} | {column.tokens:,.0f} | {column.hits} | "
            f"{column.clean} | {column.lines} |"
        )
    return "\n".join(lines) + "\n"


def _in_sessions() -> list[str]:
    """Say how long the pages of the recorded sessions took, after the judge and before a prompt."""
    one: list[float] = []
    several: list[float] = []
    for events in sorted(SESSIONS.glob("*-h200/events.jsonl")):
        for event in map(json.loads, events.read_text().splitlines()):
            if event["event"] == "profiled" and event["page"]["rung"] == "ncu":
                kernels = event["page"]["kernels"]
                alone = sum(kernel["launches"] for kernel in kernels) == 1
                (one if alone else several).append(float(event["seconds"]))
    return [
        "In the recorded sessions on an H200 the page of a candidate of one launch took",
        f"{_spread(one)}, of two or more",
        f"{_spread(several)}, collected by NVIDIA's sets.",
        "",
    ]


def _seconds_lines(block: Costs) -> Iterator[str]:
    """Yield one table of seconds, with device and day."""
    yield f"{block.what}; on {block.device}, ncu {block.ncu}, {block.day}:"
    yield ""
    yield "| collected | passes | seconds | report |"
    yield "|---|---|---|---|"
    for one in block.costs:
        passes = "" if one.passes is None else str(one.passes)
        size = "" if one.bytes is None else f"{one.bytes / 1e3:,.0f} KB"
        yield f"| {one.collected} | {passes} | {_spread(list(one.seconds))} | {size} |"
    if THIS not in {one.collected for one in block.costs}:
        yield f"| {THIS} | | not measured yet | |"
    yield ""


def _animal(name: str) -> Animal:
    return {animal.name: animal for animal in animals()}[recording(name).animal]


def _column(recordings: list[Recording], counters: Sequence[str] | None) -> Column:
    hits: list[bool] = []
    clean: list[bool] = []
    tokens: list[int] = []
    sick = {animal.name: animal.sickness for animal in animals()}
    for one in recordings:
        reports = [
            report if counters is None else _only(report, counters) for report in one.reports
        ]
        page = _page(reports, one)
        first = page.findings[0].kind if page.findings else None
        wanted = sick[one.animal]
        (clean if wanted is None else hits).append(first == wanted)
        text = page.text() if counters is None else _as_json(one.reports, counters)
        tokens.append(summary.tokens(text))
    return Column(
        counters=str(len(counters or metrics.needed_counters())),
        tokens=statistics.median(tokens),
        hits=f"{sum(hits)} of {len(hits)}",
        clean=f"{sum(clean)} of {len(clean)}",
        lines="yes" if counters is None else "no",
    )


def _everything() -> Column:
    """Count what `--set full` says of one LayerNorm: every metric's name and value."""
    import ncu_report  # noqa: PLC0415  (only this column needs the raw report)

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "full.ncu-rep"
        path.write_bytes(lzma.decompress(FULL.read_bytes()))
        action = ncu_report.load_report(str(path))[0][0]
        values = {name: str(action.metric_by_name(name).value()) for name in action.metric_names()}
    tokens = summary.tokens(json.dumps(values, indent=2))
    return Column(
        counters=str(len(values)), tokens=tokens, hits="not judged", clean="not judged", lines="no"
    )


def _only(report: KernelReport, counters: Sequence[str]) -> KernelReport:
    """Return the report as it would be had only these counters been collected."""
    kept = {name: value for name, value in report.counters.items() if name in counters}
    kept["gpu__time_duration.sum"] = report.counters["gpu__time_duration.sum"]
    return msgspec.structs.replace(
        report, counters=kept, opcodes={}, instructions=(), rules=(), warps_by_registers={}
    )


def _as_json(reports: Sequence[KernelReport], counters: Sequence[str]) -> str:
    """Return the indented JSON (name: value) in which lists reach a model."""
    body = {
        report.name: {name: round(report.counters.get(name, 0.0), 3) for name in counters}
        for report in reports
    }
    return json.dumps(body, indent=2)


if __name__ == "__main__":
    main()
