"""One first answer, refined three ways: with the profile page, with timings only, and blind.

    python -m benchmarks.ablation [--out benchmarks/results]

It reads the runs in transcripts/ablation (timings only, blind) and in transcripts/recorded (with
the page) and writes a table with the time of every turn. What it can show is little: the answers
were written by hand, by authors who knew of the comparison, two problems, one run each. The blind
author answered without any run, from the compiler's words alone; the author with timings saw each
verdict and its time; the one with the page saw that as well. Every arm starts from the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from refine_agent.records import headline
from refine_agent.transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from refine_agent.records import Attempt

ROOT = Path(__file__).parents[1]
ARMS = ROOT / "transcripts" / "ablation"
RECORDED = ROOT / "transcripts" / "recorded"
PROBLEMS = ("layernorm_8192", "softmax")
# The sessions asked for one sample a turn up to here.
TURNS = 5


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One way to refine: what its author saw, and the run."""

    name: str
    saw: str
    run: Transcript

    def attempts(self) -> Iterator[Attempt]:
        """Return the first sample of every turn that is compared."""
        for turn in range(1, TURNS + 1):
            yield from self.run.attempts_of(turn)[:1]


def main() -> None:
    """Read, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    page = "\n".join(_page())
    (out / "ablation-h200.md").write_text(page + "\n", encoding="utf-8")
    print(page)


def arms(problem: str) -> tuple[Arm, ...]:
    """Return the three arms of a problem; all begin with the same candidate, or this fails."""
    found = (
        Arm(
            name="page",
            saw="verdict, times, profile page",
            run=Transcript.read(RECORDED / f"{problem}-h200"),
        ),
        Arm(
            name="timings",
            saw="verdict, times",
            run=Transcript.read(ARMS / f"{problem}-timings-h200"),
        ),
        Arm(name="blind", saw="nothing", run=Transcript.read(ARMS / f"{problem}-blind-h200")),
    )
    firsts = {next(arm.attempts()).candidate.digest for arm in found}  # type: ignore[union-attr]
    if len(firsts) != 1:
        raise SystemExit(f"the arms of {problem} do not begin with the same candidate")
    return found


def _page() -> Iterator[str]:
    yield "# The same first answer with the page, with timings only, and blind"
    yield ""
    yield from _paragraph()
    for problem in PROBLEMS:
        found = arms(problem)
        setup = found[0].run.setup
        assert setup is not None  # noqa: S101 - recorded with its measurement
        compiled = setup.baseline.compiled or setup.baseline.eager
        yield ""
        yield f"## {problem}"
        yield ""
        yield (
            f"{setup.environment.device}, torch {setup.environment.torch}; torch.compile "
            f"{compiled.median_us:,.1f} µs, floor {setup.floor_us or 0:,.1f} µs. Medians in µs "
            "[95 % interval] (samples), one attempt a turn; the best of an arm in bold."
        )
        yield ""
        yield f"| its author saw | {' | '.join(f'turn {n}' for n in range(1, TURNS + 1))} | best |"
        yield f"|{'---|' * (TURNS + 2)}"
        yield from map(_row, found)


def _paragraph() -> Iterator[str]:
    body = (__doc__ or "").split("\n\n")[-1]
    yield " ".join(body.split())


def _row(arm: Arm) -> str:
    attempts = list(arm.attempts())
    times = [a.passed.timing.median_us for a in attempts if a.passed is not None]
    best = min(times) if times else None
    cells = [_cell(attempt, best) for attempt in attempts]
    cells += ["–"] * (TURNS - len(cells))
    last = f"{best:,.1f}" if best is not None else "none passed"
    return f"| {arm.name}: {arm.saw} | {' | '.join(cells)} | {last} |"


def _cell(attempt: Attempt, best: float | None) -> str:
    passed = attempt.passed
    if passed is None:
        return headline(attempt.verdict).partition(":")[0] if attempt.verdict else "–"
    timing = passed.timing
    value = f"{timing.median_us:,.1f}"
    value = f"**{value}**" if timing.median_us == best else value
    return f"{value} [{timing.low_us:,.1f}, {timing.high_us:,.1f}] ({timing.samples})"


if __name__ == "__main__":
    main()
