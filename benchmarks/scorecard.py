"""Rebuild every recorded winner with torch's own headers, judge it afresh, print the scorecard.

    python -m benchmarks.scorecard [NAME…] [--out benchmarks/results] [--device cuda]

One command on a CUDA machine. For each session in transcripts/recorded whose device is a GPU it
takes the winning kernel, measures eager, torch.compile (default and max-autotune) and the kernel
side by side in one run, and writes a table, its numbers as JSON and a picture, anew after each
problem. On a machine of several GPUs each may take some of the sessions; `--join` makes one
scorecard of theirs. What fails its judgement is printed as such and never left out.
"""

from __future__ import annotations

import argparse
import datetime as dt
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from refine_agent.bench import LocalBench
from refine_agent.bench.sanitizer import BEFORE_SEALING, ORDERED_UNSEEN
from refine_agent.loop import BenchFault, Quiet
from refine_agent.profiling import roofline
from refine_agent.records import Options, Passed, Ratio, Setup, Timing, headline
from refine_agent.transcript import Transcript, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import Attempt, Suspicion

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "transcripts" / "recorded"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One problem: what was measured, or why nothing is claimed."""

    name: str
    verdict: str
    environment: str = ""
    day: str = ""
    setup: Setup | None = None
    passed: Passed | None = None
    afresh: bool = True  # or the session's own sealing, which knows no max-autotune


def main() -> None:
    """Measure, print, save."""
    options = _options()
    rows: list[Row] = []
    if options.join:
        joined = {row.name: row for file in options.join for row in _rows(file)}
        sessions = map(Transcript.read, _chosen([]))
        rows = [joined.get(run.folder.name) or _of_session(run) for run in sessions]
        _save(rows, options.out)
        return
    runs = [Transcript.read(folder) for folder in _chosen(options.names)]
    with _building_ahead(runs, options.device):
        for run in runs:
            rows.append(_judged(run, options.device))
            print(_line(rows[-1]), flush=True)
            _save(rows, options.out)
    print("\n".join(_table(rows)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="recorded sessions; all that ran on a GPU if none")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--join", type=Path, nargs="+", help="make one of these scorecard.json")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _rows(file: Path) -> list[Row]:
    return msgspec.json.decode(file.read_bytes(), type=list[Row])


def _chosen(names: list[str]) -> Iterator[Path]:
    for folder in runs_in(RECORDED):
        if names and folder.name not in names:
            continue
        setup = Transcript.read(folder).setup
        if names or (setup is not None and setup.environment.device_kind == "cuda"):
            yield folder


def _save(rows: list[Row], out: Path) -> None:
    """Write what there is so far; whatever ends the rest, it stays."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "scorecard.md").write_text("\n".join(_table(rows)) + "\n", encoding="utf-8")
    (out / "scorecard.json").write_bytes(msgspec.json.encode(rows))
    (out / "scorecard.svg").write_text(_picture(rows), encoding="utf-8")


@contextmanager
def _building_ahead(runs: list[Transcript], device: str) -> Iterator[None]:
    """Build all winners with torch's own headers side by side: most of the minutes go there.

    Who seals a kernel that is still being built waits for it; what cannot be built says so then.
    """
    kernels = {
        run.folder.name: run.best.candidate.source
        for run in runs
        if run.best is not None and run.best.candidate is not None
    }
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as building:
        for name, source in kernels.items():
            file = Path(scratch, f"{name}.py")
            file.write_text(source, encoding="utf-8")
            argv = [sys.executable, "-m", "benchmarks.stock_build", str(file), "--device", device]
            building.enter_context(subprocess.Popen(argv, cwd=ROOT))
        yield


def _judged(run: Transcript, device: str) -> Row:
    best = run.best
    if best is None or best.candidate is None:
        return Row(name=run.folder.name, verdict="no kernel passed in this session")
    # The sanitizer looked at this very kernel when its session sealed it, and its word is kept.
    options = Options(device=device, autotune_baseline=True, profile="off", sanitize=False)
    with (
        tempfile.TemporaryDirectory() as scratch,
        LocalBench(run.problem, options, Path(scratch)) as bench,
    ):
        try:
            setup = bench.measure(run.problem, Quiet())
            verdict = bench.seal(best.candidate, Quiet())
        except BenchFault as fault:
            return Row(name=run.folder.name, verdict=f"not measured: {fault}")
    return Row(
        name=run.folder.name,
        verdict=headline(verdict),
        environment=_where(setup),
        day=f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        setup=setup,
        passed=_with_findings(verdict, best) if isinstance(verdict, Passed) else None,
    )


def _with_findings(afresh: Passed, best: Attempt) -> Passed:
    """Return it with what the sanitizer found in the session."""
    if not isinstance(best.sealed, Passed):
        return afresh
    found = [doubt for doubt in best.sealed.suspicions if doubt.kind in BEFORE_SEALING]
    return replace(afresh, suspicions=(*afresh.suspicions, *found))


def _of_session(run: Transcript) -> Row:
    """Return what the session itself measured when it sealed its fastest kernel."""
    sealed = [a.sealed for a in run.attempts if isinstance(a.sealed, Passed)]
    if run.setup is None or not sealed:
        return Row(name=run.folder.name, verdict="not measured afresh, nor sealed in its session")
    best = min(sealed, key=lambda verdict: verdict.timing.median_us)
    return Row(
        name=run.folder.name,
        verdict=headline(best),
        environment=_where(run.setup),
        day=f"{dt.datetime.fromtimestamp(run.events[0].at, tz=dt.UTC):%Y-%m-%d}",
        setup=run.setup,
        passed=best,
        afresh=False,
    )


def _where(setup: Setup) -> str:
    here = setup.environment
    return f"{here.device}, driver {here.driver}, torch {here.torch}, {here.compiler}"


# --- the table ------------------------------------------------------------------------------------


_COLUMNS = (
    "session", "eager", "torch.compile", "max-autotune", "ours", "floor",
    "over eager", "over compile", "over max-autotune", "of copy bandwidth",
)  # fmt: skip


def _in_a_line(doubt: Suspicion) -> str:
    """Return a doubt without what the tool that raised it listed: that is in the transcript."""
    head = doubt.evidence.splitlines()[0].rstrip(":")
    if doubt.kind == "racecheck" and ORDERED_UNSEEN in doubt.evidence:
        head += f"; {ORDERED_UNSEEN}"
    return head if head.startswith(doubt.kind) else f"{doubt.kind}: {head}"


def _table(rows: list[Row]) -> Iterator[str]:
    places = sorted({f"{row.environment}, {row.day}" for row in rows if row.day})
    yield "# Scorecard"
    yield ""
    yield f"Measured on {'; '.join(places) or 'nothing'}."
    yield ""
    yield (
        "Medians in µs with 95 % intervals, all in one run per problem, cold cache; every winner "
        "rebuilt with torch's own headers and judged in a fresh process under fresh seeds. The "
        "floor is the time at measured ceilings, the share that of measured copy bandwidth."
    )
    if not all(row.afresh for row in rows):
        yield ""
        yield (
            "\\* What the session itself measured when it sealed the kernel, by the same rules but "
            "without max-autotune; not measured afresh yet, nor what later turns brought."
        )
    yield ""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'---|' * len(_COLUMNS)}"
    for row in rows:
        yield _line(row)
    yield ""
    for row in rows:
        doubts = row.passed.suspicions if row.passed is not None else ()
        for doubt in doubts:
            yield f"- {row.name}, doubtful: {_in_a_line(doubt)}"


def _line(row: Row) -> str:
    if row.passed is None or row.setup is None:
        return f"| {row.name} | {row.verdict}{' |' * (len(_COLUMNS) - 1)}"
    found, setup = row.passed, row.setup
    cells = [
        row.name + ("" if row.afresh else " \\*"),
        _time(found.eager),
        _time(found.compiled),
        _time(found.autotuned),
        _time(found.timing),
        f"{setup.floor_us:,.1f}" if setup.floor_us is not None else "–",
        _ratio(found.vs_eager),
        _ratio(found.vs_compiled),
        _ratio(found.vs_autotuned),
        _share(found, setup),
    ]
    return f"| {' | '.join(cells)} |"


def _time(timing: Timing | None) -> str:
    if timing is None:
        return "–"
    interval = f"[{timing.low_us:,.1f}, {timing.high_us:,.1f}]"
    return f"{timing.median_us:,.1f} {interval} ({timing.samples})"


def _ratio(ratio: Ratio | None) -> str:
    return "–" if ratio is None else f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def _share(found: Passed, setup: Setup) -> str:
    """Bytes needed per second over the measured copy's, where bytes are what binds."""
    floor = roofline.measured_ceiling(setup.work, setup.peaks) if setup.peaks is not None else None
    copy = setup.peaks.copy_gbps if setup.peaks is not None else None
    if copy is None or floor is None or floor.by != "bytes":
        return "–"
    rate = setup.work.bytes_needed / found.timing.median_us / 1e3
    return f"{rate / copy:.0%}"


# --- the picture ----------------------------------------------------------------------------------

_HEIGHT, _LEFT, _WIDTH, _RIGHT = 34, 190, 560, 90
_FLOOR = 'stroke="#c0392b" stroke-dasharray="3 2"'
_COLOURS = (
    ("eager", "#9aa4b2"),
    ("torch.compile", "#5b8def"),
    ("max-autotune", "#7c5bef"),
    ("ours", "#1f9d63"),
)


def _picture(rows: list[Row]) -> str:
    """Draw each time against torch.compile's, as bars; the floor as a tick."""
    shown = [row for row in rows if row.passed is not None and row.setup is not None]
    height = 40 + len(shown) * (_HEIGHT + 20)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}"',
        ' font-family="system-ui, sans-serif" font-size="12" role="img">',
        "<title>Time per call of eager, torch.compile, max-autotune and the refined kernel</title>",
        f'<rect width="{_LEFT + _WIDTH + _RIGHT}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (name, colour) in enumerate(_COLOURS):
        x = _LEFT + number * 130
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="20" fill="#1d2430">{name}</text>')
    x = _LEFT + len(_COLOURS) * 130
    parts.append(f'<line x1="{x}" x2="{x}" y1="8" y2="24" {_FLOOR}/>')
    parts.append(f'<text x="{x + 8}" y="20" fill="#1d2430">floor</text>')
    for number, row in enumerate(shown):
        parts += _bars(row, 40 + number * (_HEIGHT + 20))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(row: Row, top: int) -> Iterator[str]:
    assert row.passed is not None  # noqa: S101 - the caller chose only these
    assert row.setup is not None  # noqa: S101 - likewise
    found = row.passed
    times = (found.eager, found.compiled, found.autotuned, found.timing)
    # Eager can be 60 times slower; bars end at twice torch.compile and say so.
    unit = 2 * (found.compiled or found.eager).median_us
    end = f'x="{_LEFT - 10}" y="{top + 22}" text-anchor="end"'
    yield f'<text {end} fill="#1d2430">{row.name}{"" if row.afresh else " *"}</text>'
    for number, (timing, (_, colour)) in enumerate(zip(times, _COLOURS, strict=True)):
        if timing is None:
            continue
        y, width = top + number * 9, min(1.0, timing.median_us / unit) * _WIDTH
        more = " …" if timing.median_us > unit else ""
        yield f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="7" fill="{colour}"/>'
        label = f"{timing.median_us:,.0f} µs{more}"
        place = f'x="{_LEFT + width + 5:.1f}" y="{y + 7}"'
        yield f'<text {place} font-size="9" fill="#46505f">{label}</text>'
    floor = row.setup.floor_us
    if floor is not None and floor < unit:
        x = _LEFT + floor / unit * _WIDTH
        place = f'x1="{x:.1f}" x2="{x:.1f}" y1="{top - 2}" y2="{top + 36}"'
        yield f"<line {place} {_FLOOR}/>"


if __name__ == "__main__":
    main()
