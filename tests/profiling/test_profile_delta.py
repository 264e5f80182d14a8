"""What changed since the parent, and how a prediction fared: in the words an author will read."""

import pytest

from refine_agent.profiling import delta
from refine_agent.profiling.records import Metric, Page, Prediction
from tests.profiling.evidence_on_file import layer_norm
from tests.profiling.test_profile_page import page_of


def page(**values: float) -> Page:
    units = {"traffic_ratio": "x", "time_us": "us", "occupancy_pct": "%", "dram_gbps": "GB/s"}
    units |= {"stall_long_scoreboard_pct": "%", "floor_ratio": "x"}
    return Page(
        candidate_digest="d",
        rung="ncu",
        device="NVIDIA H200",
        shape="s",
        metrics=tuple(
            Metric(key=key, value=value, unit=units[key]) for key, value in values.items()
        ),
    )


def test_a_prediction_that_came_true_is_confirmed_in_one_sentence() -> None:
    said = Prediction(metric="traffic_ratio", before=1.4, after=1.0)
    grade = delta.grade(said, page(traffic_ratio=1.4), page(traffic_ratio=1.02))
    assert grade.verdict == "confirmed"
    assert grade.text == "expected traffic_ratio 1.4 -> 1 x; it is 1.02: confirmed"


@pytest.mark.parametrize(
    ("metric", "start", "expected", "measured", "verdict"),
    [
        ("traffic_ratio", 1.4, 1.0, 1.25, "partly"),
        ("traffic_ratio", 1.4, 1.0, 1.39, "refuted"),
        ("traffic_ratio", 1.4, 1.0, 1.8, "refuted"),
        ("time_us", 120.0, 80.0, 60.0, "confirmed"),  # better than predicted
        ("time_us", 120.0, 80.0, 86.0, "confirmed"),  # within a tenth
        ("time_us", 539.0, 525.0, 549.5, "refuted"),  # within a tenth, and the wrong way
        ("time_us", 539.0, 525.0, 538.0, "refuted"),  # within a tenth, and hardly moved
        ("time_us", 73.4, 68.0, 72.1, "partly"),  # a quarter of what was promised
        ("occupancy_pct", 50.0, 75.0, 90.0, "confirmed"),
        ("occupancy_pct", 50.0, 75.0, 40.0, "refuted"),
        ("dram_gbps", 2000.0, 4000.0, 3000.0, "partly"),
    ],
)
def test_predictions_are_graded_by_how_far_the_number_went(
    metric: str, start: float, expected: float, measured: float, verdict: str
) -> None:
    said = Prediction(metric=metric, before=start, after=expected)
    grade = delta.grade(said, page(**{metric: start}), page(**{metric: measured}))
    assert grade.verdict == verdict


def test_the_parents_page_counts_and_not_what_the_author_remembers_of_it() -> None:
    said = Prediction(metric="time_us", before=500.0, after=90.0)
    grade = delta.grade(said, page(time_us=100.0), page(time_us=100.0))
    assert grade.verdict == "refuted"


def test_what_was_not_measured_is_not_graded() -> None:
    said = Prediction(metric="traffic_ratio", after=1.0)
    assert delta.grade(said, None, page(time_us=10.0)).verdict == "not measured"
    nonsense = Prediction(metric="elegance", after=11.0)
    assert delta.grade(nonsense, None, page(time_us=10.0)).verdict == "not measured"


def test_noise_is_no_change() -> None:
    # Two profiles of the very same kernel, 0.5 % apart in time.
    before, after = (page_of(layer_norm(name), timing_us=None) for name in ("detailed", "full"))
    assert [change.metric for change in delta.changes(before, after)] == [
        "stall_long_scoreboard_pct"
    ]


def test_changes_are_ranked_and_say_which_way_is_better() -> None:
    changes = delta.changes(
        page(occupancy_pct=64.0, time_us=110.0, traffic_ratio=1.37),
        page(occupancy_pct=48.0, time_us=80.0, traffic_ratio=1.02),
    )
    assert [change.text for change in changes] == [
        "time_us 110 -> 80 us (better)",
        "traffic_ratio 1.37 -> 1.02 x (better)",
        "occupancy_pct 64 -> 48 % (worse)",
    ]


def test_an_author_may_predict_only_what_the_page_measures() -> None:
    keys = delta.predictable(page_of(layer_norm()))
    assert {"time_us", "traffic_ratio", "occupancy_pct", "registers"} <= set(keys)
    assert "gap_pct" not in keys
    assert "stall_selected_pct" not in keys


def test_waiting_is_compared_in_time_and_not_in_shares_of_it() -> None:
    parent = page(time_us=151.0, stall_long_scoreboard_pct=44.0)
    faster = page(time_us=100.0, stall_long_scoreboard_pct=60.0)
    slower = page(time_us=151.0, stall_long_scoreboard_pct=60.0)

    def direction(child: Page) -> str:
        (stall,) = [one for one in delta.changes(parent, child) if one.metric.startswith("stall")]
        return stall.direction

    assert direction(faster) == "better"
    assert direction(slower) == "worse"


def test_ratios_to_different_floors_are_not_compared() -> None:
    parent = page(time_us=131.0, floor_ratio=0.318)
    other = page(time_us=108.0, floor_ratio=2.17)
    same = page(time_us=108.0, floor_ratio=0.318 * 108 / 131)
    assert [one.metric for one in delta.changes(parent, other)] == ["time_us"]
    assert [one.metric for one in delta.changes(parent, same)] == ["time_us", "floor_ratio"]
