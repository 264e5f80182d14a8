"""The table of cheats: ``python -m tests.cheats [--device cuda] [--out FILE] [--only 3,24]``.

For each cheat the layer that caught it and the verdict; for each honest control whether it was lost.
``--again`` tries only what changed since, or did not hold.
``--quick`` leaves out the proofs (without its layer it passes, its honest twin passes), except for
what runs on a GPU only; ``--seconds`` ends in time and says what was not reached. On a machine of
several GPUs each may take a part (``--part 1/4``); ``--join PART… --out FILE`` makes one table of
them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tests.cheats.court import Case, Court, Kept, Report, Row, by_problem, cheats, controls

# Known, and not stopped: what remains is part of the result. docs/trust.md says why.
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


def main() -> int:
    """Try everything that runs on the device; return 0 if nothing went through and nothing was lost."""
    asked = _arguments()
    if asked.join:
        return _said(_joined(asked.join), asked.out)
    began = time.monotonic()
    ends = began + asked.seconds
    kind = "cuda" if asked.device.startswith("cuda") else "cpu"
    before = _before(asked)
    with tempfile.TemporaryDirectory() as folder, Court(asked.device, Path(folder)) as court:
        docket = Docket(court, before, asked)
        for case in _part(_chosen([*cheats(), *controls()], kind, asked.only), asked.part):
            if time.monotonic() > ends:
                docket.left.append(case.path.stem)
            else:
                print(docket.tried(case), flush=True)
            _write(docket.report(time.monotonic() - began), asked.out)
    return _said(docket.report(time.monotonic() - began), asked.out)


class Docket:
    """What was tried so far, and what was not reached: whatever ends the run, it is on disk."""

    def __init__(self, court: Court, before: Report | None, asked: argparse.Namespace) -> None:
        self._court, self._before, self._asked = court, before, asked
        self.rows: list[Row] = []
        self.kept: list[Kept] = []
        self.left: list[str] = []

    def tried(self, case: Case) -> str:
        """Try a case, unless the recording that is to be completed holds it; return its line."""
        if case.is_control:
            kept = _kept_before(case, self._before)
            self.kept.append(kept or _counted(self._court.kept(case), self._before))
            return f"control {case.number:<28} {self.kept[-1].outcome}"
        shown = not self._asked.quick or case.device == "cuda"
        row = _row_before(case, self._before)
        self.rows.append(row or _counted(self._court.row(case, shown=shown), self._before))
        return _line(self.rows[-1])

    def report(self, seconds: float) -> Report:
        """Return the table so far."""
        found, before = self._court.environment, self._before
        return Report(
            date=datetime.now(UTC).date().isoformat(),
            device=found.device if found else self._asked.device,
            torch=(found.torch if found else None) or "",
            fence=next((row.on.fence for row in self.rows if row.on.fence), None),
            seconds=round(seconds + (before.seconds if before else 0.0), 1),
            cheats=sorted(self.rows, key=_by_number),
            controls=sorted(self.kept, key=_by_name),
            not_reached=self.left,
        )


def _said(report: Report, out: Path | None) -> int:
    print(_summary(report))
    _write(report, out)
    return 0 if _good(report) else 1


def _write(report: Report, out: Path | None) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))


def _joined(files: list[Path]) -> Report:
    """Return one table of several parts, which were tried side by side."""
    parts = [msgspec.json.decode(file.read_bytes(), type=Report) for file in files]
    reached = {row.number for part in parts for row in part.cheats}
    reached |= {each.name for part in parts for each in part.controls}
    return replace(
        parts[0],
        seconds=max(part.seconds for part in parts),
        cheats=sorted((row for part in parts for row in part.cheats), key=_by_number),
        controls=sorted((each for part in parts for each in part.controls), key=_by_name),
        not_reached=[
            name
            for part in parts
            for name in part.not_reached
            if not {name, name.partition("_")[0].lstrip("c").lstrip("0")} & reached
        ],
    )


def _by_number(row: Row) -> str:
    return row.number.zfill(3)


def _by_name(control: Kept) -> str:
    return control.name


def _before(asked: argparse.Namespace) -> Report | None:
    """Return the recording that is to be completed, if there is one."""
    if not asked.again or not asked.out.exists():
        return None
    return msgspec.json.decode(asked.out.read_bytes(), type=Report)


def _row_before(case: Case, before: Report | None) -> Row | None:
    """Return the row that holds already, of this very file."""
    rows = before.cheats if before is not None else []
    return next((row for row in rows if row.digest == case.digest and row.holds), None)


def _kept_before(case: Case, before: Report | None) -> Kept | None:
    found = before.controls if before is not None else []
    same = (each for each in found if each.digest == case.digest and each.name == case.number)
    return next((each for each in same if each.outcome.clean), None)


def _counted(made: Row | Kept, before: Report | None) -> Any:
    """Say how often it was tried, which is more than once only for what did not hold before."""
    found = [*before.cheats, *before.controls] if before is not None else []
    tries = sum(each.tries for each in found if each.digest == made.digest)
    return replace(made, tries=1 + tries)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cheats", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--out", type=Path, help="write the rows to this JSON file")
    parser.add_argument("--only", help="numbers and names of what to try, with commas between")
    parser.add_argument("--quick", action="store_true", help="only with every layer on")
    parser.add_argument("--again", action="store_true", help="keep what holds in --out already")
    parser.add_argument("--part", help="try only this part of it: 2/4 is the second of four")
    parser.add_argument("--join", type=Path, nargs="+", help="make one table of these parts")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after")
    return parser.parse_args()


def _part(cases: list[Case], part: str | None) -> list[Case]:
    """Return one of several runs of neighbours: those of one problem share what it takes to open."""
    if part is None:
        return cases
    number, of = map(int, part.split("/"))
    return cases[len(cases) * (number - 1) // of : len(cases) * number // of]


def _chosen(cases: list[Case], kind: str, only: str | None) -> list[Case]:
    """What runs on the device; what runs on no other comes first, in case time is short."""
    wanted = set(only.split(",")) if only else None
    chosen = by_problem(
        [case for case in cases if case.runs_on(kind) and (wanted is None or case.number in wanted)]
    )
    return sorted(chosen, key=lambda case: case.device == "any" if kind == "cuda" else False)


def _line(row: Row) -> str:
    marks = ("caught" if row.caught else "NOT CAUGHT") if row.counts else "not stopped"
    marks += "" if row.passes_without else f"; off: {row.off}"
    marks += "" if row.twin_passes else f"; twin: {row.twin}"
    return f"{row.number:>3} {row.title:<42.42} {row.layer:<10} {marks:<11} {row.on}"


def _summary(report: Report) -> str:
    tried = [row for row in report.cheats if row.counts]
    caught = sum(row.caught for row in tried)
    shown = sum(row.off is not None and row.passes_without for row in tried)
    lost = [control.name for control in report.controls if not control.outcome.clean]
    lines = [
        "",
        f"{caught} of {len(tried)} cheats caught ({shown} shown to pass without their layer), "
        f"{len(lost)} of {len(report.controls)} honest controls lost, in {report.seconds:.0f} s "
        f"on {report.device}, torch {report.torch}",
        *(f"lost: {name}" for name in lost),
        *(f"not caught: {row.number} {row.title}" for row in tried if not row.caught),
        *(f"not shown: {row.number} {row.title}" for row in tried if not row.passes_without),
        *(f"twin lost: {row.number} {row.title}" for row in tried if not row.twin_passes),
        *([f"not reached in time: {', '.join(report.not_reached)}"] if report.not_reached else []),
        "not stopped:",
        *(f"  {line}" for line in NOT_STOPPED),
    ]
    return "\n".join(lines)


def _good(report: Report) -> bool:
    """Whether every cheat was caught and no control lost, of those that were tried."""
    return all(row.holds for row in report.cheats if row.counts) and all(
        control.outcome.clean for control in report.controls
    )


if __name__ == "__main__":
    sys.exit(main())
