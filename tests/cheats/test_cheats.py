"""Cheats and honest controls before the real judge, on a CPU: what ``python -m tests.cheats`` shows.

Every cheat is tried with all layers on, every control too. That a cheat passes without its layer and
that its honest twin passes is tried here for one cheat of each layer; for all of them the recorded
run of the table stands, which is held against the very files it was made of. What is honest gets a
second try, since machines that test do other work too; a cheat must be caught in every one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

# The court is shared with ``python -m tests.cheats``: one import name.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.cheats.court import (
    CONTROLS,
    HERE,
    ROOT,
    Case,
    Court,
    Report,
    by_problem,
    cheats,
    controls,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHEATS = by_problem([case for case in cheats() if case.counts])
ON_A_CPU = [case for case in CHEATS if case.runs_on("cpu")]
KEPT = by_problem([case for case in controls() if case.runs_on("cpu")])
# One of each layer, with the others its proofs are the recording's; what must be built anew for
# them, or hears the clock out, takes long and is left to it too.
SHOWN = {
    "1": "clock", "8": "idle", "10": "dense", "25": "fresh", "24": "nearly", "30": "apart",
    "41": "intact", "52": "fence", "54": "every", "56": "norms", "61": "rows", "63": "nan", "64": "shapes",
    "69": "cases", "70": "parameters", "73": "poison", "74": "held", "77": "whose", "89": "stopped",
    "96": "walls", "99": "delivery",
}  # fmt: skip
RECORDED = {kind: HERE / "recorded" / f"{kind}.json" for kind in ("cpu", "cuda")}


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with Court("cpu", tmp_path_factory.mktemp("court")) as court:
        yield court


@pytest.mark.slow
@pytest.mark.parametrize("case", by_problem([*ON_A_CPU, *KEPT]), ids=lambda case: case.path.stem)
def test_no_cheat_gets_through_and_no_honest_candidate_is_lost(court: Court, case: Case) -> None:
    if case.is_control:
        outcomes = [court.kept(case).outcome]
        if not outcomes[0].clean:
            outcomes.append(court.kept(case).outcome)
        assert outcomes[-1].clean, " and ".join(map(str, outcomes))
        return
    row = court.row(case, shown=case.number in SHOWN)
    assert row.caught, f"{case.mechanism}: {row.on}"
    if not row.holds:
        row = court.row(case)
    assert row.caught, f"{case.mechanism}: {row.on}"
    assert row.passes_without, f"without {case.off} it still does not pass: {row.off}"
    assert row.twin_passes, f"the honest twin is lost: {row.twin}"


def test_there_is_a_cheat_for_every_layer_and_it_is_shown_to_be_its_layer() -> None:
    layers = {case.layer for case in ON_A_CPU if case.off}

    assert layers == set(SHOWN.values())
    assert all(case.layer == SHOWN[case.number] for case in CHEATS if case.number in SHOWN)


def test_most_of_the_catalogue_can_be_run() -> None:
    assert len({case.number for case in CHEATS if int(case.number) <= 87}) >= 70
    assert len(controls()) >= 30
    assert len({path.stem for path in CONTROLS.glob("*.py")}) == len(controls())


def test_an_honest_twin_differs_from_its_cheat_in_one_word() -> None:
    assert all(case.source.count("CHEATING = True") == 1 for case in cheats())


@pytest.mark.parametrize("kind", [kind for kind, path in RECORDED.items() if path.exists()])
def test_the_recorded_table_is_of_these_very_files_and_holds(kind: str) -> None:
    report = msgspec.json.decode(RECORDED[kind].read_bytes(), type=Report)
    again = f"run: python -m tests.cheats --device {kind} --out {RECORDED[kind].relative_to(ROOT)}"
    tried = {row.number: row.digest for row in report.cheats}
    kept = {control.name: control.digest for control in report.controls}

    assert not report.not_reached, again
    assert tried == {case.number: case.digest for case in cheats() if case.runs_on(kind)}, again
    assert kept == {case.number: case.digest for case in controls() if case.runs_on(kind)}, again
    assert not [row.number for row in report.cheats if row.counts and not row.holds]
    assert not [control.name for control in report.controls if not control.outcome.clean]
    assert report.date
    assert report.torch


@pytest.mark.parametrize("kind", RECORDED)
def test_the_recorded_table_shows_of_almost_every_cheat_that_it_passes_without_its_layer(
    kind: str,
) -> None:
    report = msgspec.json.decode(RECORDED[kind].read_bytes(), type=Report)

    shown = [row for row in report.cheats if row.off is not None]

    assert len(shown) >= 0.9 * len(report.cheats)
