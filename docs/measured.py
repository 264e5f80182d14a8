"""Write the README's table of measured runs: ``python docs/measured.py``.

Every number in it comes from a recording in transcripts/recorded; a test holds the README to it.
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
BEGIN, END = "<!-- measured: docs/measured.py -->\n", "<!-- end of measured -->\n"
HEAD = (
    "| recording | device | eager | torch.compile | best kernel | speedup | turns |\n"
    "|---|---|---|---|---|---|---|\n"
)


def main() -> None:
    """Put the table in its place."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(before + BEGIN + table() + END + after, encoding="utf-8")


def table() -> str:
    """Return one row for each recording that ships; its winner was sealed."""
    runs = [Transcript.read(folder) for folder in runs_in(ROOT / RECORDED)]
    return HEAD + "".join(sorted(_row(run) for run in runs))


def _row(run: Transcript) -> str:
    name = run.folder.name
    best, setup = run.best, run.setup
    won = best.sealed if best is not None and isinstance(best.sealed, Passed) else None
    cells = [
        f"[{name}]({(RECORDED / name).as_posix()})",
        setup.environment.device if setup is not None else "",
        _time(won.eager) if won else "",
        _time(won.compiled) if won and won.compiled else "",
        _time(won.timing) if won else "none was sealed",
        _times(won.speedup) if won else "",
        f"{run.model_turns}, {_failed(run)} failed",
    ]
    return f"| {' | '.join(cells)} |\n"


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
