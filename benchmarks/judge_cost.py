"""What the judge costs: its seconds per candidate, phase by phase, beside a bare in-process check.

    python -m benchmarks.judge_cost [--device cuda] [--runs 20] [--seconds 120] [--out FILE.json]

The candidate is the reference's own text. The judge's seconds are those of its ledger, and the wall
around them; the bare check does what most harnesses do, in this very process: five comparisons by
``allclose`` on seeded inputs, and a hundred timed calls of reference and candidate each. Starting
processes and importing torch are in neither: they happen once per run.
"""

from __future__ import annotations

import datetime as dt
import os
import statistics
import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from benchmarks.aa import RESULTS, itself, opened, options_of, save, subject, where
from refine_agent.loop import Quiet
from refine_agent.records import Passed, headline

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.bench import LocalBench
    from refine_agent.records import Candidate, Problem

# Between two candidates a page is made and a model answers, as in a run; meanwhile processes get
# ready for the next one.
ANSWER_S = 6.0
# KernelBench's defaults: correctness trials, and timed ones after a few to warm up.
COMPARED, WARM_UP, TIMED = 5, 3, 100
# Seconds per candidate after its build, on an H200 and LayerNorm of 4096 x 8192.
PROMISED_S = {"cuda": 3.0}


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate: seconds by phase of the ledger, around them, and of the bare check."""

    verdict: str
    phases: dict[str, float]
    wall_s: float
    bare_s: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """All candidates, where and when."""

    device_kind: Literal["cpu", "cuda"]
    where: str
    driver: str | None
    torch: str | None
    day: str
    shape: str
    load_before: float
    setup_s: float
    """Once per run: processes, toolchain, the problem's fitness, witnesses, baselines."""
    costs: tuple[Cost, ...]

    def median_of(self, phase: str) -> float:
        """Median seconds of one phase."""
        return statistics.median(cost.phases.get(phase, 0.0) for cost in self.costs)

    def wall_s(self) -> float:
        """Median seconds per candidate, all in."""
        return statistics.median(cost.wall_s for cost in self.costs)

    def bare_s(self) -> float:
        """Median seconds of the bare check."""
        return statistics.median(cost.bare_s for cost in self.costs)


def main() -> None:
    """Run, print, save."""
    options = options_of(__doc__, runs=20)
    measured = measure(device=options.device, runs=options.runs, seconds=options.seconds)
    out: Path = options.out or RESULTS / f"judge_cost-{measured.device_kind}.json"
    print(table(measured))
    save(measured, out, table(measured))


def measure(*, device: str, runs: int, seconds: float) -> Measured:
    """Judge the reference as a candidate, and check it bare, until runs or seconds are over."""
    load_before = os.getloadavg()[0]
    given = subject(device)
    with opened(given, device) as bench:
        began = time.monotonic()
        setup = bench.measure(given, Quiet())
        setup_s = time.monotonic() - began
        began = time.monotonic()
        costs: list[Cost] = []
        while len(costs) < runs and (not costs or time.monotonic() - began < seconds):
            time.sleep(ANSWER_S)
            costs.append(_cost(bench, given, itself(given, salt=len(costs))))
    return Measured(
        device_kind=setup.environment.device_kind,
        where=where(setup.environment),
        driver=setup.environment.driver,
        torch=setup.environment.torch,
        day=dt.datetime.now(tz=dt.UTC).date().isoformat(),
        shape=", ".join(setup.fitness.inputs),
        load_before=round(load_before, 2),
        setup_s=setup_s,
        costs=tuple(costs),
    )


def _cost(bench: LocalBench, given: Problem, candidate: Candidate) -> Cost:
    began = time.monotonic()
    verdict = bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())
    wall_s = time.monotonic() - began
    if isinstance(verdict, Passed):
        bench.profile(candidate, verdict, Quiet())
    began = time.monotonic()
    bare_check(given, candidate, bench.device)
    return Cost(
        verdict=headline(verdict)[:120],
        phases={phase.name: phase.seconds for phase in verdict.phases},
        wall_s=wall_s,
        bare_s=time.monotonic() - began,
    )


def bare_check(given: Problem, candidate: Candidate, device: str) -> bool:
    """Compare and time in this process, as a harness does that trusts the candidate."""
    import torch  # noqa: PLC0415 - the bench's process has no use for it, this check does

    problem, tried = _executed(given.source), _executed(candidate.source)
    arguments = problem["get_init_inputs"]()
    right = True
    with torch.no_grad():
        for trial in range(COMPARED):
            torch.manual_seed(trial)
            reference = problem["Model"](*arguments).to(device)
            torch.manual_seed(trial)
            model = tried["ModelNew"](*arguments).to(device)
            inputs = [value.to(device) for value in problem["get_inputs"]()]
            right &= torch.allclose(model(*inputs), reference(*inputs), rtol=1e-4, atol=1e-4)
        for module in (reference, model):
            for _ in range(WARM_UP + TIMED):
                module(*inputs)
                if device != "cpu":
                    torch.cuda.synchronize()
    return right


def _executed(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "checked"}
    exec(source, space)  # noqa: S102 - that is what a bare check does; these are our own examples
    return space


def table(measured: Measured) -> str:
    """Return what was found, as Markdown."""
    names = dict.fromkeys(name for cost in measured.costs for name in cost.phases)
    promised = PROMISED_S.get(measured.device_kind)
    return "\n".join(
        [
            f"# What the judge costs per candidate: {measured.device_kind}",
            "",
            (
                f"{measured.where}; driver {measured.driver or 'none'}, torch {measured.torch}; "
                f"{measured.day}; load before {measured.load_before}."
            ),
            (
                f"LayerNorm of {measured.shape}, {len(measured.costs)} candidates; before the "
                f"first one {measured.setup_s:.1f} s, once per run."
            ),
            "",
            "| phase | median s |",
            "|---|---|",
            *(f"| {name} | {measured.median_of(name):.3f} |" for name in names),
            f"| **the judge, wall** | **{measured.wall_s():.2f}**"
            + (f" (promised: at most {promised:g}) |" if promised else " |"),
            f"| a bare check in process | {measured.bare_s():.2f} |",
            "",
        ]
    )


if __name__ == "__main__":
    main()
