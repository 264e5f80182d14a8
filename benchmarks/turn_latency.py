"""What a turn costs: every phase from an answer's arrival to the next prompt.

    python -m benchmarks.turn_latency [--device cuda] [--turns 5] [--out benchmarks/results]

Runs the loop on examples/layernorm.py with answers made from one kernel, each salted with a fresh
constant so that no cache has seen it, and prints the ledger phase by phase. Builds of both flavours
side by side are `benchmarks.build_latency`'s.
"""

from __future__ import annotations

import argparse
import datetime as dt
import secrets
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from refine_agent import problem
from refine_agent.bench import LocalBench
from refine_agent.loop import refine
from refine_agent.prompts import render
from refine_agent.records import Budget, Options, Started
from refine_agent.standins import ScriptedAuthor
from refine_agent.transcript import SCHEMA, Transcript

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "layernorm.py"
KERNELS = ROOT / "benchmarks" / "kernels"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One turn: seconds by phase, and from the answer to the next prompt."""

    phases: dict[str, float]
    answer_to_prompt_s: float
    verdict: str


def main() -> None:
    """Measure, print, save."""
    options = _options()
    turns, where = _measure(options.device, options.turns)
    table = "\n".join(_table(turns, where))
    print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"turn_latency-{options.device}"
    (options.out / f"{name}.md").write_text(table + "\n", encoding="utf-8")
    (options.out / f"{name}.json").write_bytes(msgspec.json.encode(turns))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    return parser.parse_args()


def _salted(device: str) -> str:
    """Return an answer whose kernel differs from every other in a constant that changes nothing."""
    source = (KERNELS / f"layernorm_{device}.py").read_text(encoding="utf-8")
    salt = secrets.randbits(48)
    salted = source.replace("SALT", str(salt))
    return f"IDEA: measure a turn\nPREDICTION: time_us 100 -> 100\n```python\n{salted}\n```\n"


def _measure(device: str, count: int) -> tuple[list[Turn], str]:
    subject = problem.load(EXAMPLE)
    options = Options(device=device, budget=Budget(turns=count))
    with tempfile.TemporaryDirectory() as scratch:
        header = Started(
            at=time.time(), schema=SCHEMA, run="turn-latency", problem=subject,
            model="scripted", options=options, templates={}, version="0",
        )  # fmt: skip
        run = Transcript.create(Path(scratch) / "run", header)
        author = ScriptedAuthor([_salted(device) for _ in range(count)])
        found: list[Turn] = []
        with LocalBench(subject, options, Path(scratch) / "run") as bench:
            setup = bench.measure(subject, _Quiet())
            for turn in refine(run, author, bench):
                began = time.monotonic()
                render(run)
                phases = {phase.name: phase.seconds for phase in turn.ledger}
                phases["next prompt"] = time.monotonic() - began
                waited = phases.pop("model", 0.0)
                verdict = type(turn.attempts[0].verdict).__name__
                total = (turn.seconds or 0.0) - waited + phases["next prompt"]
                found.append(Turn(phases=phases, answer_to_prompt_s=total, verdict=verdict))
        here = setup.environment
        tools = f"torch {here.torch}, {here.compiler}, ncu {here.ncu or 'none'}"
        return found, f"{here.device}, {here.cores} cores, {tools}"


class _Quiet:
    def phase(self, name: str) -> None:
        """Ignore the phase."""

    def text(self, piece: str) -> None:
        """Ignore the piece."""


def _table(turns: list[Turn], where: str) -> list[str]:
    names = list(dict.fromkeys(name for turn in turns for name in turn.phases))
    today = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d")
    lines = [
        "# What a turn costs",
        "",
        f"LayerNorm 4096x8192 fp32 on {where}; {today}. Seconds; every kernel new to every cache.",
        "",
        f"| turn | verdict | {' | '.join(names)} | answer to next prompt |",
        f"|---|---|{'---|' * (len(names) + 1)}",
    ]
    for number, turn in enumerate(turns, 1):
        cells = [f"{turn.phases.get(name, 0.0):.2f}" for name in names]
        whole = f"{turn.answer_to_prompt_s:.2f}"
        lines.append(f"| {number} | {turn.verdict} | {' | '.join(cells)} | {whole} |")
    medians = [f"{statistics.median(t.phases.get(name, 0.0) for t in turns):.2f}" for name in names]
    median = statistics.median(turn.answer_to_prompt_s for turn in turns)
    lines.append(f"| median | | {' | '.join(medians)} | **{median:.2f}** |")
    return lines


if __name__ == "__main__":
    main()
