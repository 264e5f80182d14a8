"""Pages of the recorded sessions on an H200: grades and differences as an expert would say them."""

import itertools
import json
from functools import cache
from pathlib import Path

import msgspec
import pytest

from refine_agent.profiling import delta
from refine_agent.profiling.records import Change, Page, Prediction

RECORDED = Path(__file__).parents[2] / "transcripts" / "recorded"


@cache
def pages(session: str) -> dict[int, Page]:
    """Return the page of each attempt of a recorded session."""
    events = (RECORDED / session / "events.jsonl").read_text().splitlines()
    profiled = [one for one in map(json.loads, events) if one["event"] == "profiled"]
    return {one["attempt"]: msgspec.convert(one["page"], type=Page) for one in profiled}


@pytest.mark.parametrize(
    ("session", "parent", "attempt", "expected", "verdict", "how_far"),
    [
        # What was foretold went the other way by 2 %, and was once called confirmed.
        ("softmax-h200", 2, 3, 525.0, "refuted", "it went the other way"),
        ("layernorm-h200", 3, 4, 69.0, "refuted", "it went the other way"),
        ("layernorm_8192-h200", 3, 4, 132.0, "refuted", "it went the other way"),
        # A quarter of the promised gain, and next to nothing of it.
        ("layernorm-h200", 2, 3, 68.0, "partly", "24 % of the predicted change"),
        ("matmul-h200", 3, 5, 650.0, "refuted", "2 % of the predicted change"),
        # Nine tenths and more.
        ("conv_relu_pool-h200", 1, 2, 110.0, "confirmed", ""),
        ("softmax-h200", 1, 2, 535.0, "confirmed", ""),
    ],
)
def test_a_recorded_prediction_is_graded_by_direction_first_and_then_by_its_share(  # noqa: PLR0913, PLR0917
    session: str, parent: int, attempt: int, expected: float, verdict: str, how_far: str
) -> None:
    seen = pages(session)
    said = Prediction(metric="time_us", after=expected)
    grade = delta.grade(said, seen[parent], seen[attempt])
    assert grade.verdict == verdict
    assert grade.text.endswith(how_far)


def changed(session: str, parent: int, attempt: int) -> dict[str, Change]:
    seen = pages(session)
    return {one.metric: one for one in delta.changes(seen[parent], seen[attempt])}


def test_a_ratio_to_a_mended_floor_is_not_called_worse() -> None:
    # The floor went from fp32's 413.6 us to TF32's 50.0 us between these two pages.
    assert "floor_ratio" not in changed("conv_relu_pool-h200", 2, 3)
    assert changed("conv_relu_pool-h200", 2, 3)["time_us"].direction == "better"


def test_a_stall_is_worse_only_where_warps_wait_longer() -> None:
    for session in ("matmul-h200", "conv_relu_pool-h200", "layernorm-h200", "softmax-h200"):
        seen = pages(session)
        # Of several samples in a turn only the best has a page.
        for pair in itertools.pairwise(seen[attempt] for attempt in sorted(seen)):
            for change in delta.changes(*pair):
                if not change.metric.startswith("stall_"):
                    continue
                before, after = (page.value(change.metric) or 0.0 for page in pair)
                whole, left = (page.value("time_us") or 0.0 for page in pair)
                longer = after * left > before * whole
                assert change.direction == ("worse" if longer else "better")
                assert " us: " in change.text


def test_timing_and_profile_that_went_opposite_ways_are_said_first() -> None:
    # 539.4 to 535.0 us when timed, 527.0 to 535.4 us when profiled.
    seen = pages("softmax-h200")
    first, *_ = delta.changes(seen[2], seen[4])
    assert first.metric == "kernel_us"
    assert "so trust neither difference" in first.text
    assert "kernel_us" not in changed("softmax-h200", 1, 2)
