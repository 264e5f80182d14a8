"""Runs as tables: the same numbers as the transcript, typed, with what failed kept."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from refine_agent import frames
from tests import synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.transcript import Transcript


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Transcript:
    return synthetic.layernorm(tmp_path_factory.mktemp("runs") / "demo")


def test_every_attempt_is_a_row_and_failed_ones_have_no_speedup(run: Transcript) -> None:
    table = frames.turns(run)
    assert table["attempt"].tolist() == list(range(1, 10))
    assert table[table["speedup"].isna()]["attempt"].tolist() == [2, 5, 7]
    row = {number: table.iloc[number - 1].to_dict() for number in range(1, 10)}
    assert row[9]["speedup"] == pytest.approx(71.3 / 65.5)
    assert row[9]["speedup_low"] < row[9]["speedup"] < row[9]["speedup_high"]
    assert row[9]["median_us"] == 65.5, "the sealed time counts"
    assert row[6]["doubtful"]
    assert "for ever" in row[6]["veto"]
    assert row[4]["author"] == "engineer"


def test_missing_numbers_do_not_change_a_column_s_type(run: Transcript, tmp_path: Path) -> None:
    short = synthetic.layernorm(tmp_path / "short", attempts=2)
    assert frames.turns(short).dtypes.to_dict() == frames.turns(run).dtypes.to_dict()
    empty = synthetic.layernorm(tmp_path / "empty", attempts=0)
    assert frames.turns(empty).dtypes.to_dict() == frames.turns(run).dtypes.to_dict()
    assert frames.metrics(empty).empty


def test_metrics_are_tidy_with_unit_and_ceiling(run: Transcript) -> None:
    table = frames.metrics(run)
    row = table[(table["attempt"] == 3) & (table["metric"] == "dram_gbps")].iloc[0]
    assert row["unit"] == "GB/s"
    assert row["ceiling"] == 4811
    assert row["value"] == pytest.approx(272 / 76.9 * 1e3)
    before, after = (
        table[(table["attempt"] == a) & (table["metric"] == "traffic_ratio")]["value"].item()
        for a in (1, 3)
    )
    assert before > 1.7
    assert after < 1.02


def test_a_turn_s_phases_sum_to_its_seconds(run: Transcript) -> None:
    summed = frames.ledger(run).groupby("turn")["seconds"].sum()
    for turn in run.turns:
        assert summed[turn.number] == pytest.approx(turn.seconds)


def test_a_transcript_is_a_frame_away(run: Transcript) -> None:
    assert run.frame().equals(frames.turns(run))


def test_many_runs_are_one_table_and_an_unreadable_one_is_named(tmp_path: Path) -> None:
    synthetic.many(tmp_path, 12)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "events.jsonl").write_bytes(b"\xff\n")
    table = frames.runs(tmp_path)
    assert len(table) == 12
    assert table["run"].is_unique
    assert (table["best"] == 9).all()
    assert table["began"].dt.tz is not None
    assert [line.split(":")[0] for line in table.attrs["unreadable"]] == ["broken"]


def test_no_runs_are_an_empty_table_with_the_same_columns(tmp_path: Path) -> None:
    synthetic.many(tmp_path / "some", 1)
    empty = frames.runs(tmp_path / "nowhere")
    assert empty.empty
    assert list(empty.columns) == list(frames.runs(tmp_path / "some").columns)


def test_numbers_that_no_column_holds_do_not_hide_the_other_runs(tmp_path: Path) -> None:
    synthetic.many(tmp_path, 2)
    huge = tmp_path / "huge"
    shutil.copytree(tmp_path / "first", huge)
    events = huge / "events.jsonl"
    events.write_text(events.read_text().replace('"attempt":9', f'"attempt":{10**30}'))
    table = frames.runs(tmp_path)
    assert len(table) == 2
    assert "64 bits" in table.attrs["unreadable"][0]
