"""A module against itself: how far from 1.00x the judge's own noise carries it, and its clocks.

    python -m benchmarks.aa [--device cuda] [--runs 100] [--seconds 120] [--out FILE.json]
    python -m benchmarks.aa --join FILE.json FILE.json --out FILE.json   (of several equal GPUs)

Each run is a whole trial of the reference's own text as a candidate, in a fresh process under a
fresh seed, against eager PyTorch. On a CPU eager's process is a fresh one too, every 20 runs: for
as long as it lives it may be a few per cent faster or slower than others. What is told: the share
of the runs within 0.01 and within 0.05 of 1.00x, and how near the three clocks are to one another:
the claims of the candidate's process (events on a GPU), the judge's own, and a profiler's kernel
time. Bounds are in ``BOUNDS``. Run it on a machine that does nothing else; the record says what
else it did.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from refine_agent import problem
from refine_agent.bench import LocalBench
from refine_agent.judge.stolen import CALM, Stolen
from refine_agent.loop import Quiet
from refine_agent.profiling import trace
from refine_agent.records import Candidate, Options, Passed, Problem, headline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from refine_agent.records import Environment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
EXAMPLE = ROOT / "examples" / "layernorm.py"
# Two milliseconds on two cores, past their caches as the example's 268 MB are past a GPU's.
CPU_ROWS, CPU_FEATURES = 1024, 4096
RUNS_PER_WITNESS = 20


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised: so many runs of a hundred this near to 1.00x, clocks this near together."""

    near: float
    share: float
    judge_clock: float  # |judge's clock / claims - 1|, median over the runs
    profiler: float  # |profiler's kernel time / claims - 1|


# The profilers look at other calls than were timed: ncu at single ones with a cold cache, behind a
# launch that it serialises. On a CPU torch.profiler's own part is in its wall time.
BOUNDS = {
    "cuda": Bounds(near=0.01, share=0.95, judge_clock=0.05, profiler=0.25),
    "cpu": Bounds(near=0.05, share=0.95, judge_clock=0.15, profiler=1.0),
}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One trial."""

    verdict: str
    seconds: float
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    claim_us: float | None = None
    judge_clock_us: float | None = None
    doubts: tuple[str, ...] = ()
    stolen_part: float | None = None
    """Of all cores' time, what the host of a virtual machine took away during the run."""


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """What another clock says of the same module."""

    name: str
    us: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All runs, where and when."""

    device_kind: Literal["cpu", "cuda"]
    where: str
    driver: str | None
    torch: str | None
    day: str
    shape: str
    load_before: float
    """Processes that wanted to run besides, when it began (the one-minute load average)."""
    runs: tuple[Run, ...]
    witnesses: tuple[Witness, ...] = ()

    def speedups(self) -> list[float]:
        """The ratios of the runs that passed."""
        return [run.speedup for run in self.runs if run.speedup is not None]

    def share_within(self, near: float, runs: Sequence[Run] | None = None) -> float:
        """The share of these (all) runs that passed this near to 1.00x; what did not is not."""
        these = self.runs if runs is None else runs
        speedups = [run.speedup for run in these if run.speedup is not None]
        return sum(abs(value - 1) <= near for value in speedups) / len(these)

    def clock_ratios(self) -> list[float]:
        """The judge's clock over the claims, run by run."""
        return [
            run.judge_clock_us / run.claim_us
            for run in self.runs
            if run.claim_us and run.judge_clock_us
        ]

    def claim_us(self) -> float:
        """The median claim over the runs."""
        return statistics.median(run.claim_us for run in self.runs if run.claim_us is not None)


def main() -> None:
    """Run, print, save."""
    options = options_of(__doc__, runs=100, joins=True)
    measured = (
        joined([msgspec.json.decode(file.read_bytes(), type=Measured) for file in options.join])
        if options.join
        else measure(device=options.device, runs=options.runs, seconds=options.seconds)
    )
    out: Path = options.out or RESULTS / f"aa-{measured.device_kind}.json"
    print(table(measured))
    save(measured, out, table(measured))


def options_of(what: str | None, *, runs: int, joins: bool = False) -> argparse.Namespace:
    """Read the options of a benchmark that tries the reference as a candidate, over and over."""
    parser = argparse.ArgumentParser(
        description=what, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--seconds", type=float, default=120.0, help="begin no run after this")
    if joins:
        parser.add_argument("--join", type=Path, nargs="+", help="make one record of these")
    parser.add_argument("--out", type=Path, help="a JSON file; the table goes beside it as .md")
    return parser.parse_args()


def measure(*, device: str, runs: int, seconds: float) -> Measured:
    """Try the reference against itself until the runs or the seconds are over."""
    load_before = os.getloadavg()[0]
    given = subject(device)
    ends = time.monotonic() + seconds
    together = runs if device.startswith("cuda") else RUNS_PER_WITNESS
    taken: list[Run] = []
    while len(taken) < runs and (not taken or time.monotonic() < ends):
        with opened(given, device, profile="off") as bench:
            setup = bench.measure(given, Quiet())
            for _ in range(min(together, runs - len(taken))):
                taken.append(_run(bench, itself(given, salt=len(taken))))
                if time.monotonic() > ends:
                    break
    with opened(given, device) as bench:
        bench.measure(given, Quiet())
        witnesses = tuple(_witnesses(bench, itself(given, salt=len(taken))))
    environment = setup.environment
    return Measured(
        device_kind=environment.device_kind,
        where=where(environment),
        driver=environment.driver,
        torch=environment.torch,
        day=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        shape=", ".join(setup.fitness.inputs),
        load_before=round(load_before, 2),
        runs=tuple(taken),
        witnesses=witnesses,
    )


def joined(parts: list[Measured]) -> Measured:
    """Return the runs of several equal machines as one record.

    Raises:
        SystemExit: they are not equal.
    """
    first = parts[0]
    alike = {(part.device_kind, part.driver, part.torch, part.shape) for part in parts}
    if len(alike) > 1:
        raise SystemExit(f"these were not measured alike, so they make no record: {alike}")
    return replace(
        first,
        where=f"{first.where}; {len(parts)} of them side by side",
        load_before=max(part.load_before for part in parts),
        runs=tuple(run for part in parts for run in part.runs),
        witnesses=_medians([witness for part in parts for witness in part.witnesses]),
    )


def _medians(witnesses: list[Witness]) -> tuple[Witness, ...]:
    found: dict[str, list[float]] = {}
    for witness in witnesses:
        found.setdefault(witness.name, []).append(witness.us)
    return tuple(Witness(name=name, us=statistics.median(us)) for name, us in found.items())


def subject(device: str) -> Problem:
    """The problem: the example on a GPU, a small one of its kind on a CPU."""
    found = problem.load(EXAMPLE)
    if device.startswith("cuda"):
        return found
    source = found.source.replace("rows = 4096", f"rows = {CPU_ROWS}")
    return Problem(name="layernorm", source=source.replace("= 8192", f"= {CPU_FEATURES}"))


def itself(given: Problem, *, salt: int) -> Candidate:
    """The reference as a candidate; a salt makes each run's text its own."""
    source = given.source.replace("class Model(", "class ModelNew(")
    return Candidate(source=f"{source}\n# run {salt}\n")


@contextmanager
def opened(
    given: Problem, device: str, *, profile: Literal["auto", "torch", "off"] | None = None
) -> Iterator[LocalBench]:
    """A bench for it, with nothing but eager to be held against."""
    profile = profile or ("auto" if device.startswith("cuda") else "torch")
    asked = Options(device=device, compile_baseline=False, profile=profile)
    with tempfile.TemporaryDirectory() as folder, LocalBench(given, asked, Path(folder)) as bench:
        yield bench


def _run(bench: LocalBench, candidate: Candidate) -> Run:
    began, stolen = time.monotonic(), Stolen()
    verdict = bench.judge(candidate, Quiet())
    seconds, part = time.monotonic() - began, round(stolen.part(), 4)
    if not isinstance(verdict, Passed):
        return Run(verdict=headline(verdict)[:200], seconds=seconds, stolen_part=part)
    return Run(
        verdict="Passed",
        seconds=seconds,
        speedup=verdict.vs_eager.value,
        low=verdict.vs_eager.low,
        high=verdict.vs_eager.high,
        claim_us=verdict.timing.median_us,
        judge_clock_us=verdict.judge_clock.median_us,
        doubts=tuple(doubt.kind for doubt in verdict.suspicions),
        stolen_part=part,
    )


def _witnesses(bench: LocalBench, candidate: Candidate) -> Iterator[Witness]:
    """Ask the profilers that are there what a call takes."""
    traced = bench.trace(candidate, bench.spawn_tracer())
    if traced is not None:
        seen = trace.read(traced.rows)
        took = seen.span_us if seen.span_us is not None else seen.wall_us
        if took is not None:
            yield Witness(name="torch.profiler", us=took)
    if bench.kind != "cuda":
        return
    verdict = bench.judge(candidate, Quiet())
    if isinstance(verdict, Passed):
        page = bench.profile(candidate, verdict, Quiet())
        if page is not None and page.rung == "ncu":
            yield Witness(name="Nsight Compute", us=sum(k.time_us or 0.0 for k in page.kernels))


# --- telling --------------------------------------------------------------------------------------


def table(measured: Measured) -> str:
    """Return what was found, as Markdown."""
    speedups = sorted(measured.speedups())
    lines = [
        f"# A module against itself: {measured.device_kind}",
        "",
        (
            f"{measured.where}; driver {measured.driver or 'none'}, torch {measured.torch}; "
            f"{measured.day}; load before {measured.load_before}."
        ),
        (
            f"LayerNorm of {measured.shape}, {len(measured.runs)} runs of "
            f"{statistics.median(run.seconds for run in measured.runs):.2f} s (median), each a "
            "whole trial in a fresh process under a fresh seed."
        ),
        "",
        "| what | found | promised |",
        "|---|---|---|",
        *_told_shares(measured),
    ]
    if speedups:
        lines += [
            (
                f"| speedup: median, least, most | {statistics.median(speedups):.4f}, "
                f"{speedups[0]:.4f}, {speedups[-1]:.4f} | |"
            ),
            *_told_clocks(measured),
        ]
    others = [run.verdict for run in measured.runs if run.verdict != "Passed"]
    doubts = sorted({doubt for run in measured.runs for doubt in run.doubts})
    lines += ["", f"Not passed: {_listed(others)}. Doubts named: {_listed(doubts)}."]
    return "\n".join(lines) + "\n"


def _told_shares(measured: Measured) -> Iterator[str]:
    bounds = BOUNDS[measured.device_kind]
    for near in (0.01, 0.05):
        promised = f"at least {bounds.share:.0%}" if near == bounds.near else ""
        found = f"{measured.share_within(near):.0%} of {len(measured.runs)}"
        yield f"| within 1.00 ± {near} | {found} | {promised} |"
    told = [run.stolen_part for run in measured.runs if run.stolen_part is not None]
    if any(told):
        calm = [run for run in measured.runs if (run.stolen_part or 0.0) < CALM]
        within = measured.share_within(bounds.near, calm) if calm else 0.0
        yield (
            f"| the same, in runs of which the host took less than {CALM:.0%} "
            f"| {within:.0%} of {len(calm)} | |"
        )
        yield (
            "| of the cores' time, taken by the host: median, most "
            f"| {statistics.median(told):.1%}, {max(told):.1%} | |"
        )


def _told_clocks(measured: Measured) -> Iterator[str]:
    bounds, claim = BOUNDS[measured.device_kind], measured.claim_us()
    ratios = sorted(measured.clock_ratios())
    yield f"| claims of the candidate's process, median | {claim:.1f} µs | |"
    yield (
        f"| judge's clock over the claims: median, least, most | {statistics.median(ratios):.3f}, "
        f"{ratios[0]:.3f}, {ratios[-1]:.3f} | median within 1 ± {bounds.judge_clock} |"
    )
    for witness in measured.witnesses:
        yield (
            f"| {witness.name} over the claims | {witness.us / claim:.3f} ({witness.us:.1f} µs) "
            f"| within 1 ± {bounds.profiler} |"
        )


def _listed(names: list[str]) -> str:
    return "; ".join(names[:5]) or "none"


def save(measured: msgspec.Struct, out: Path, told: str) -> None:
    """Write the record, and the table beside it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
    out.with_suffix(".md").write_text(told, encoding="utf-8")


def where(environment: Environment) -> str:
    """Name a machine in a line."""
    return f"{environment.device}, {environment.cores} cores"


if __name__ == "__main__":
    main()
