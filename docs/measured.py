"""Write what was measured into the README: ``python docs/measured.py``.

Every number comes from a recording in transcripts/recorded, every table and picture beside them
from benchmarks/results; a test holds the README to both.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from refine_agent.records import Passed, Ratio, Timing  # noqa: E402 - the path is set above
from refine_agent.transcript import Transcript, runs_in  # noqa: E402 - see above

README = ROOT / "README.md"
RECORDED = Path("transcripts/recorded")
RESULTS = Path("benchmarks/results")
BEGIN, END = "<!-- measured: docs/measured.py -->\n", "<!-- end of measured -->\n"
HEAD = (
    "| recording | device | eager | torch.compile | best kernel | speedup | turns |\n"
    "|---|---|---|---|---|---|---|\n"
)


def main() -> None:
    """Put it in its place."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(before + BEGIN + measured() + END + after, encoding="utf-8")


def measured() -> str:
    """Return one row for each recording that ships, and what the benchmarks left."""
    runs = [Transcript.read(folder) for folder in runs_in(ROOT / RECORDED)]
    table = HEAD + "".join(sorted(_row(run) for run in runs))
    return "\n".join([table, *_pictures(), _results()])


def _pictures() -> list[str]:
    pictures = sorted((ROOT / RESULTS).glob("*.svg"))
    return [f"![{each.stem}]({(RESULTS / each.name).as_posix()})\n" for each in pictures]


def _results() -> str:
    """Return a line for each table that a benchmark wrote, under its own heading."""
    tables = sorted((ROOT / RESULTS).glob("*.md"))
    headings = (each.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for each in tables)
    links = (
        f"[{heading}]({(RESULTS / each.name).as_posix()})"
        for heading, each in zip(headings, tables, strict=True)
    )
    return f"From `benchmarks/`, each with its device and date: {', '.join(links)}.\n"


def _row(run: Transcript) -> str:
    name = run.folder.name
    setup, won = run.setup, _sealed(run)
    cells = [
        f"[{name}]({(RECORDED / name).as_posix()})",
        setup.environment.device if setup is not None else "",
        _time(won.eager) if won else "",
        _time(won.compiled) if won and won.compiled else "",
        (_time(won.timing) if won else "none was sealed") + _since(run),
        _claim(won, weak=run.weak) if won else "",
        f"{run.model_turns}, {_failed(run)} failed",
    ]
    return f"| {' | '.join(cells)} |\n"


def _sealed(run: Transcript) -> Passed | None:
    """Return the verdict of the fastest kernel that was judged again as a result must be."""
    sealed = [a.sealed for a in run.attempts if isinstance(a.sealed, Passed)]
    return min(sealed, key=lambda verdict: verdict.timing.median_us, default=None)


def _since(run: Transcript) -> str:
    """Say what a later turn brought that has not been sealed."""
    best = run.best
    if best is None or best.passed is None or best.sealed is not None:
        return ""
    passed = best.passed
    return f"; in turn {best.turn}, not sealed yet: {_time(passed.timing)}"


def _claim(won: Passed, *, weak: bool) -> str:
    """Return the speedup with what makes it doubtful, or that none is claimed."""
    if weak:
        return "none claimed: an impostor passes"
    doubts = ", ".join(doubt.kind for doubt in won.suspicions)
    return f"{_times(won.speedup)}{f', doubtful: {doubts}' if doubts else ''}"


def _failed(run: Transcript) -> int:
    return sum(not isinstance(attempt.verdict, Passed) for attempt in run.attempts)


def _time(timing: Timing) -> str:
    return (
        f"{_us(timing.median_us)} µs [{_us(timing.low_us)} to {_us(timing.high_us)}], "
        f"n = {timing.samples}"
    )


def _us(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"  # noqa: PLR2004 - three digits


def _times(ratio: Ratio) -> str:
    return f"{ratio.value:.2f}x [{ratio.low:.2f} to {ratio.high:.2f}]"


if __name__ == "__main__":
    main()
