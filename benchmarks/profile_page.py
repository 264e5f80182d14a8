"""What a page costs and finds, next to `--set full` and to other agents' metric lists.

    python benchmarks/profile_page.py              # from the zoo's recordings: tokens, hits, no GPU
    python benchmarks/profile_page.py --live       # on a GPU: seconds of a whole candidate
    python benchmarks/profile_page.py --live --out DIR/profile_page.json

Tokens are characters over four, for every column alike. A hit is a sick kernel whose first finding
names its sickness; the other lists' columns run the same rules on the counters those lists collect,
so they say what a list can show at best, not what its project makes of it.
"""

import argparse
import json
import lzma
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import msgspec

from benchmarks.peer_metrics import CUDAFORGE, KERNELAGENT
from refine_agent.profiling import ncu, ncu_rep, summary, trace
from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.records import Page
from tests.profiling.zoo.animals import RECORDED, Recording, animals

# One call of torch's own LayerNorm on 4096x8192 floats: process start, import, a kernel, a range.
WORKER = """
import torch
x = torch.randn(4096, 8192, device="cuda")
weight, bias = torch.randn(2, 8192, device="cuda")
norm = torch.nn.functional.layer_norm
norm(x, (8192,), weight, bias)
torch.cuda.synchronize()
torch.cuda.nvtx.range_push("candidate")
norm(x, (8192,), weight, bias)
torch.cuda.synchronize()
torch.cuda.nvtx.range_pop()
"""
COLLECTIONS = {
    "this page": ncu.default_collection(),
    "--set full": ["--set", "full"],
    "CudaForge's list": ["--metrics", ",".join(CUDAFORGE)],
    "KernelAgent's list": ["--metrics", ",".join(KERNELAGENT)],
}
LISTS = {"CudaForge's list": CUDAFORGE, "KernelAgent's list": KERNELAGENT}
REPEATS = 2
SECONDS = 120


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--live", action="store_true", help="measure seconds here, on a GPU")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    options = parser.parse_args()
    found = dict(_live()) if options.live else _recorded()
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))


def _live() -> Iterator[tuple[str, dict[str, object]]]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        worker = folder / "worker.py"
        worker.write_text(WORKER)
        bare = [_seconds([sys.executable, str(worker)]) for _ in range(REPEATS)]
        print(f"bare process             {_spread(bare)}")
        yield "bare process", {"seconds": bare}
        for name, collect in COLLECTIONS.items():
            runs = [_profiled(worker, folder, collect) for _ in range(REPEATS)]
            yield name, _report_of(name, runs)


def _profiled(worker: Path, folder: Path, collect: Sequence[str]) -> dict[str, object]:
    """Profile one call, read the report, render the page: all between a turn and its prompt."""
    report, log = folder / "page.ncu-rep", folder / "page.log"
    report.unlink(missing_ok=True)
    around = [sys.executable, str(worker)]
    start = time.monotonic()
    taken = _seconds(ncu.command(around, report=report, log=log, collect=collect))
    reports = ncu_rep.read_apart(report)
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


def _report_of(name: str, runs: list[dict[str, object]]) -> dict[str, object]:
    seconds = [float(str(run["seconds"])) for run in runs]
    last = runs[-1]
    print(
        f"{name:24} {_spread(seconds)}; {last['passes']} passes; "
        f"report {int(str(last['bytes'])) >> 10} KB; page {last['tokens']} tokens; "
        f"findings {last['findings']}"
    )
    return {"runs": runs}


def _seconds(command: Sequence[str]) -> float:
    start = time.monotonic()
    subprocess.run(command, capture_output=True, timeout=SECONDS, check=True)
    return time.monotonic() - start


def _spread(seconds: list[float]) -> str:
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


def _recorded() -> dict[str, object]:
    recordings = [
        msgspec.json.decode(lzma.decompress(path.read_bytes()), type=Recording)
        for path in sorted(RECORDED.glob("*.json.xz"))
    ]
    if not recordings:
        sys.exit("no recordings: run tests/profiling/zoo/record.py on a GPU and unpack.py after it")
    sick = {animal.name: animal.sickness for animal in animals()}
    table = {"this page": _row(recordings, sick, None)}
    for name, counters in LISTS.items():
        table[name] = _row(recordings, sick, counters)
    for name, row in table.items():
        print(f"{name:24} {row}")
    return dict(table)


def _row(
    recordings: list[Recording], sick: dict[str, str | None], counters: Sequence[str] | None
) -> dict[str, object]:
    hits: list[bool] = []
    false_alarms: list[bool] = []
    tokens: list[int] = []
    for recording in recordings:
        reports = [one if counters is None else _only(one, counters) for one in recording.reports]
        page = _page(reports, recording)
        first = page.findings[0].kind if page.findings else None
        wanted = sick[recording.animal]
        (false_alarms if wanted is None else hits).append(first == wanted)
        tokens.append(
            summary.tokens(page.text())
            if counters is None
            else _tokens_of(recording.reports, counters)
        )
    return {
        "hits": f"{sum(hits)} of {len(hits)} sick",
        "clean": f"{sum(false_alarms)} of {len(false_alarms)} healthy",
        "tokens": statistics.median(tokens),
    }


def _only(report: KernelReport, counters: Sequence[str]) -> KernelReport:
    """Return the report as it would be had only these counters been collected."""
    kept = {name: value for name, value in report.counters.items() if name in counters}
    kept["gpu__time_duration.sum"] = report.counters["gpu__time_duration.sum"]
    return msgspec.structs.replace(
        report, counters=kept, opcodes={}, instructions=(), rules=(), warps_by_registers={}
    )


def _tokens_of(reports: Sequence[KernelReport], counters: Sequence[str]) -> int:
    """Estimate the tokens of the indented JSON (name: value) in which lists reach a model."""
    body = {
        report.name: {name: round(report.counters.get(name, 0.0), 3) for name in counters}
        for report in reports
    }
    return summary.tokens(json.dumps(body, indent=2))


if __name__ == "__main__":
    main()
