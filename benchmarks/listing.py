"""How long a list of many runs takes, next to merely parsing their JSON.

    python benchmarks/listing.py [RUNS]

It plays one run of eight turns over stand-ins, with prompts, replies and pages as long as real
ones, copies it RUNS times (1,000), and prints seconds of CPU and of wall, and the ratio to reading
the same lines with the standard library's json. The promise: a list costs at most three times the
parse, and loading everything, texts included, stays within seconds.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from refine_agent import rows
from refine_agent.profiling.records import Finding, Metric, Page
from refine_agent.records import Budget, Options, Problem
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel
from refine_agent.transcript import EVENTS, Transcript, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from refine_agent.loop import Watch
    from refine_agent.records import Candidate, Passed

TURNS = 8
# A kernel with its module is some 150 lines long.
NOTE = "a line of a kernel as long as they usually are, give or take a little. " * 80


class Paged(ScriptedBench):
    """A bench whose pages are as long as real ones."""

    def profile(self, candidate: Candidate, verdict: Passed, watch: Watch) -> Page | None:
        """Return a page of forty lines and sixty numbers."""
        watch.phase("profile")
        finding = Finding(kind="excess sectors", severity=0.2, text="x" * 120, advice="y" * 120)
        return Page(
            candidate_digest=candidate.digest,
            rung="ncu",
            device="scripted",
            shape="float32[4096, 8192]",
            metrics=tuple(
                Metric(key=f"metric_{n}", value=verdict.timing.median_us + n, unit="%")
                for n in range(60)
            ),
            findings=(finding,) * 6,
            lines=("some forty lines of about a hundred characters, " * 2,) * 40,
        )


def main() -> None:
    """Make the runs, measure, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch) / "runs"
        size = make(runs, count)
        lines = sum(sum(1 for _ in (run / EVENTS).open("rb")) for run in runs_in(runs))
        day, machine = time.strftime("%Y-%m-%d"), platform.machine()
        print(f"{day}, {machine}, {os.cpu_count()} cores, ", end="")
        print(f"Python {platform.python_version()}: {count:,} runs of {TURNS} turns, ", end="")
        print(f"{lines:,} events, {size / 1e6:,.0f} MB of lines\n")
        plain = show("json.loads of every line", lambda: parse(runs))
        show("list (texts stay blobs)", lambda: listed(runs, texts=False), against=plain)
        show("load everything, texts too", lambda: listed(runs, texts=True), against=plain)
        show("`refine_agent show --json`", lambda: command(runs), against=plain)


def make(runs: Path, count: int) -> int:
    """Make ``count`` runs that differ in name only; return the bytes of their events."""
    replies = [kernel(speedup=1 + n / 10, idea=f"idea {n}", note=NOTE) for n in range(TURNS)]
    session = Session.start(
        Problem(name="scale", source="class Model: ...\n" * 40),
        options=Options(budget=Budget(turns=TURNS)),
        runs=runs,
        author=ScriptedAuthor(replies),
        bench=Paged(),
    )
    with session:
        session.run()
    first = session.transcript.folder
    content = (first / EVENTS).read_bytes()
    for number in range(1, count):
        folder = runs / f"{first.name}-{number}"
        shutil.copytree(first, folder, copy_function=os.link)
        (folder / EVENTS).unlink()
        (folder / EVENTS).write_bytes(content)
    return len(content) * count


def parse(runs: Path) -> int:
    """Parse every line with the standard library."""
    found = 0
    for run in runs_in(runs):
        with (run / EVENTS).open("rb") as lines:
            found += sum(1 for line in lines if json.loads(line))
    return found


def listed(runs: Path, *, texts: bool) -> int:
    """Read every run and make its row."""
    found = [rows.run(Transcript.read(run, texts=texts)) for run in runs_in(runs)]
    return sum(row.turns for row in found)


def command(runs: Path) -> int:
    """List them as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "refine_agent", "show", "--runs", str(runs), "--json"],
        capture_output=True,
        check=True,
    )
    return done.stdout.count(b"\n")


def show(name: str, work: Callable[[], int], *, against: float | None = None) -> float:
    """Do the work once warm and once measured; print its seconds and return those of CPU."""
    work()
    began, cpu = time.perf_counter(), cpu_seconds()
    work()
    wall, spent = time.perf_counter() - began, cpu_seconds() - cpu
    ratio = f"{spent / against:6.2f} times the parse" if against is not None else ""
    print(f"{name:<28} {spent:6.2f} s CPU  {wall:6.2f} s wall  {ratio}")
    return spent


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the children it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    main()
