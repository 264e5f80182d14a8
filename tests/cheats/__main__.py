"""The table of cheats: ``python -m tests.cheats [--device cuda] [--out FILE] [--only 3,24]``.

For each cheat the layer that caught it and the verdict; for each honest control whether it was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.cheats.court import Case, Court, Outcome, Row, cheats, controls

# Known, and not stopped: what remains is part of the result.
NOT_STOPPED = (
    "14, 18, 20 are no candidate's to try: the judge flushes, states its baselines, and seals",
    "55 another kernel for the profiler: rows come from the candidate's own process",
    "65, 66 right for this shape only: a problem has one shape here",
    "75 strided inputs: problems hand over dense ones, and the prompt says so",
    "76 no backward pass, evaluation mode: that is the contract",
    "80 on a CPU through ctypes: what no operator of PyTorch records counts as authored",
    "84 another device's work: it is on the judge's clock, and gains nothing",
    "87 reading how it is judged: the principle is public, seeds and values are not",
)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the table found, as the file that a test reads."""

    device: str
    seconds: float
    cheats: list[Row]
    controls: dict[str, Outcome]


def main() -> int:
    """Try everything that runs on the device; return 0 if nothing went through and nothing was lost."""
    asked = _arguments()
    began = time.monotonic()
    kind = "cuda" if asked.device.startswith("cuda") else "cpu"
    rows: list[Row] = []
    kept: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as folder, Court(asked.device, Path(folder)) as court:
        for case in _chosen(cheats(), kind, asked.only):
            rows.append(court.row(case, shown=not asked.quick))
            print(_line(rows[-1]), flush=True)
        for case in _chosen(controls(), kind, asked.only):
            kept[case.number] = court.tried(case, case.source)
            print(f"control {case.number:<28} {kept[case.number]}", flush=True)
    report = Report(
        device=asked.device, seconds=time.monotonic() - began, cheats=rows, controls=kept
    )
    print(_summary(report))
    if asked.out is not None:
        asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    return 0 if _good(report) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cheats", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--out", type=Path, help="write the rows to this JSON file")
    parser.add_argument("--only", help="numbers and names of what to try, with commas between")
    parser.add_argument("--quick", action="store_true", help="only with every layer on")
    return parser.parse_args()


def _chosen(cases: list[Case], kind: str, only: str | None) -> list[Case]:
    wanted = set(only.split(",")) if only else None
    return [
        case for case in cases if case.runs_on(kind) and (wanted is None or case.number in wanted)
    ]


def _line(row: Row) -> str:
    marks = ("caught" if row.caught else "NOT CAUGHT") if row.layer != "nothing" else "not stopped"
    marks += "" if row.passes_without else f"; off: {row.off}"
    marks += "" if row.twin_passes else f"; twin: {row.twin}"
    return f"{row.number:>3} {row.title:<42.42} {row.layer:<10} {marks:<11} {row.on}"


def _summary(report: Report) -> str:
    tried = [row for row in report.cheats if row.layer != "nothing"]
    caught = sum(row.caught for row in tried)
    lost = [name for name, outcome in report.controls.items() if not outcome.clean]
    lines = [
        "",
        f"{caught} of {len(tried)} cheats caught, {len(lost)} of {len(report.controls)} honest "
        f"controls lost, in {report.seconds:.0f} s on {report.device}",
        *(f"lost: {name}" for name in lost),
        "not stopped:",
        *(f"  {line}" for line in NOT_STOPPED),
    ]
    return "\n".join(lines)


def _good(report: Report) -> bool:
    return all(row.caught for row in report.cheats if row.layer != "nothing") and all(
        outcome.clean for outcome in report.controls.values()
    )


if __name__ == "__main__":
    sys.exit(main())
