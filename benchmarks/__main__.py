"""Measure what this project claims about a device, anew, on this machine.

    python -m benchmarks [NAME…] [--device cuda] [--out FOLDER] [--minutes 30]

It owns the list of what is measured, in the order in which it is worth its time, and the bound of
each: a step that hangs is ended and the next begins, and what a step wrote so far stays. Each
is also a command of its own; what it prints goes to FOLDER/NAME.log.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
# A step is asked to end before it is made to.
GRACE_S = 10.0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One command and its bound; ``{out}`` and ``{device}`` are filled in."""

    name: str
    command: str
    seconds: float
    on: Literal["cpu", "cuda", "both"] = "both"

    def argv(self, *, out: Path, device: str) -> list[str]:
        """Return the command with its places filled in."""
        return [PYTHON, *(part.format(out=out, device=device) for part in self.command.split())]


STEPS = (
    Step(
        name="scorecard",
        command="-m benchmarks.scorecard --device {device} --out {out}",
        seconds=480,
        on="cuda",
    ),
    Step(
        name="cheats",
        command="-m tests.cheats --device {device} --quick --seconds 230 --out {out}/cheats.json",
        seconds=260,
        on="cuda",
    ),
    Step(
        name="faults",
        command="-m tests.bench --device {device} --seconds 250 --out {out}/faults-{device}.json",
        seconds=290,
    ),
    Step(
        name="zoo",
        command="tests/profiling/zoo/record.py --what stale --out {out}/zoo.tar",
        seconds=270,
        on="cuda",
    ),
    Step(
        name="zoo-probes",
        command="tests/profiling/zoo/record.py --what probes --out {out}/probes.tar",
        seconds=180,
        on="cuda",
    ),
    Step(
        name="builds",
        command="-m benchmarks.build_latency --device {device} --compare --seconds 360 "
        "--out {out}/builds.json",
        seconds=400,
    ),
    Step(
        name="a-a",
        # A hundred runs are 120 s on a GPU, and twice that on two cores.
        command="-m benchmarks.aa --device {device} --seconds 280 --out {out}/aa-{device}.json",
        seconds=320,
    ),
    Step(
        name="judge-cost",
        command="-m benchmarks.judge_cost --device {device} --out {out}/judge_cost-{device}.json",
        seconds=120,
    ),
    Step(
        name="turns",
        command="-m benchmarks.turn_latency --device {device} --out {out}",
        seconds=240,
    ),
    Step(
        name="pages",
        command="-m benchmarks.profile_page --live --out {out}/profile_page.json",
        seconds=200,
        on="cuda",
    ),
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a step."""

    name: str
    ended: str
    seconds: float


def main() -> int:
    """Run the steps that were asked for; return how many did not end well."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    outcomes = []
    for step in _chosen(asked.names, asked.device):
        left = asked.minutes * 60 - (time.monotonic() - began)
        if left < GRACE_S:
            outcomes.append(Outcome(name=step.name, ended="not begun: no time left", seconds=0.0))
            continue
        print(f"{step.name}: at most {min(step.seconds, left):.0f} s", flush=True)
        outcomes.append(_run(step, asked.out, asked.device, limit_s=min(step.seconds, left)))
        print(f"{step.name}: {outcomes[-1].ended}, {outcomes[-1].seconds:.0f} s", flush=True)
    (asked.out / "outcomes.json").write_bytes(msgspec.json.encode(outcomes))
    return sum(outcome.ended != "done" for outcome in outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("names", nargs="*", help="steps (default: all that the device has)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=Path("measured"), help="default: ./measured")
    parser.add_argument("--minutes", type=float, default=60.0, help="for all of them (default: 60)")
    asked = parser.parse_args()
    if unknown := set(asked.names) - {step.name for step in STEPS}:
        parser.error(
            f"no step is named {', '.join(sorted(unknown))}; there are "
            f"{', '.join(step.name for step in STEPS)}"
        )
    asked.out = asked.out.resolve()
    return asked


def _chosen(names: list[str], device: str) -> list[Step]:
    """Return the steps asked for, or those that the device has, in the order of the list."""
    return [
        step for step in STEPS if (step.name in names if names else step.on in ("both", device))
    ]


def _run(step: Step, out: Path, device: str, *, limit_s: float) -> Outcome:
    began = time.monotonic()
    with (out / f"{step.name}.log").open("wb") as log:
        process = subprocess.Popen(
            step.argv(out=out, device=device), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        ended = _ended(process, limit_s)
    return Outcome(name=step.name, ended=ended, seconds=time.monotonic() - began)


def _ended(process: subprocess.Popen[bytes], limit_s: float) -> str:
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.terminate()
    else:
        return "done" if code == 0 else f"exit code {code}"
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return f"ended after {limit_s:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
