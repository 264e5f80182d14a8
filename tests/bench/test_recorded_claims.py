"""What the benchmarks recorded is what is promised, on every device that has a record."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from benchmarks import aa, judge_cost
from refine_agent.records import Passed
from refine_agent.transcript import Transcript

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
AGAINST_ITSELF = sorted(RESULTS.glob("aa-*.json"))
COSTS = sorted(RESULTS.glob("judge_cost-*.json"))


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", AGAINST_ITSELF, ids=named)
def test_a_module_is_as_fast_as_itself_in_95_of_100_runs(path: Path) -> None:
    measured = msgspec.json.decode(path.read_bytes(), type=aa.Measured)
    bounds = aa.BOUNDS[measured.device_kind]

    assert len(measured.runs) >= 100
    assert measured.share_within(bounds.near) >= bounds.share


@pytest.mark.parametrize("path", AGAINST_ITSELF, ids=named)
def test_claims_judges_clock_and_profilers_agree_within_the_stated_bounds(path: Path) -> None:
    measured = msgspec.json.decode(path.read_bytes(), type=aa.Measured)
    bounds = aa.BOUNDS[measured.device_kind]

    assert abs(statistics.median(measured.clock_ratios()) - 1) <= bounds.judge_clock
    for witness in measured.witnesses:
        assert abs(witness.us / measured.claim_us() - 1) <= bounds.profiler, witness.name


@pytest.mark.parametrize("path", COSTS, ids=named)
def test_the_judge_costs_no_more_than_promised(path: Path) -> None:
    measured = msgspec.json.decode(path.read_bytes(), type=judge_cost.Measured)
    promised = judge_cost.PROMISED_S.get(measured.device_kind)

    assert measured.wall_s() > 0
    assert measured.bare_s() > 0
    assert promised is None or measured.wall_s() <= promised


@pytest.mark.parametrize("path", [*AGAINST_ITSELF, *COSTS], ids=named)
def test_every_table_is_its_records(path: Path) -> None:
    told = path.with_suffix(".md").read_text(encoding="utf-8")

    if path.stem.startswith("aa-"):
        assert told == aa.table(msgspec.json.decode(path.read_bytes(), type=aa.Measured))
    else:
        record = msgspec.json.decode(path.read_bytes(), type=judge_cost.Measured)
        assert told == judge_cost.table(record)


@pytest.mark.parametrize("folder", sorted((RESULTS / "replays-h200").glob("*/")), ids=named)
def test_an_example_replayed_without_a_key_was_measured_live_and_sealed(folder: Path) -> None:
    run = Transcript.read(folder)

    assert run.model == f"recorded:{folder.name}-h200"
    assert run.setup is not None
    assert run.setup.environment.device == "NVIDIA H200"
    assert run.best is not None
    assert isinstance(run.best.sealed, Passed)
    assert run.best.sealed.eager.samples > 0


def test_a_run_that_did_not_pass_counts_against_the_share() -> None:
    runs = [
        aa.Run(verdict="Passed", seconds=1.0, speedup=1.004, claim_us=10.0, judge_clock_us=10.2)
    ] * 3
    measured = aa.Measured(
        device_kind="cuda",
        where="a device",
        driver="1",
        torch="2",
        day="2026-01-01",
        shape="float32[1]",
        load_before=0.0,
        runs=(*runs, aa.Run(verdict="disqualified: the clocks disagree", seconds=1.0)),
        witnesses=(aa.Witness(name="Nsight Compute", us=9.9),),
    )

    assert measured.share_within(0.01) == 0.75
    assert measured.share_within(0.01, measured.runs[:3]) == 1
    assert "taken by the host" not in aa.table(measured)  # nobody looked
    assert "| within 1.00 ± 0.01 | 75% of 4 | at least 95% |" in aa.table(measured)
    assert "Nsight Compute over the claims | 0.990" in aa.table(measured)

    parts = (0.0, 0.005, 0.045, 0.2)
    robbed = [
        replace(run, stolen_part=part) for run, part in zip(measured.runs, parts, strict=True)
    ]
    told = aa.table(replace(measured, runs=tuple(robbed)))
    assert "in runs of which the host took less than 1% | 100% of 2 |" in told
    assert "taken by the host: median, most | 2.5%, 20.0% |" in told
