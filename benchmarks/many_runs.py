"""How long a thousand runs take to become tables and a comparing report.

    python benchmarks/many_runs.py [--runs N]

Writes the runs into a temporary folder, reads them from a cold start of the library's side, and
prints one line per step; nothing here is timed in the tests.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from refine_agent import frames, report
from refine_agent.transcript import Transcript, runs_in
from tests import synthetic

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    count = parser.parse_args().runs
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{count} runs of 8 turns, {machine}, {time.strftime('%F')}")
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        with timed("write them"):
            synthetic.many(runs, count)
        _read(runs)


def _read(runs: Path) -> None:
    with timed("import pandas"):
        import pandas as pd  # noqa: F401, PLC0415 - to keep it out of the first table's time
    with timed("list the folders"):
        folders = runs_in(runs)
    with timed("one table of all (frames.runs)"):
        table = frames.runs(runs)
    with timed("filter it"):
        fast = table[(table["speedup"] > table["speedup"].median()) & ~table["doubtful"]]
    with timed("load each with every source, prompt and page"):
        loaded = [Transcript.read(folder) for folder in folders]
    with timed("every attempt of all (frames.turns)"):
        attempts = len(frames.turns(loaded))
    with timed("a report that compares them"):
        page = report.render(loaded)
    print(f"{len(table)} runs, {len(fast)} of them above the median; {attempts} attempts; "
          f"{len(page) / 1e6:.1f} MB of report")  # fmt: skip


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what took how long."""
    began = time.perf_counter()
    yield
    print(f"{time.perf_counter() - began:8.2f} s  {what}")


if __name__ == "__main__":
    main()
