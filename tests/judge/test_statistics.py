"""From samples to medians, intervals and ratios."""

import pytest

from refine_agent.judge.statistics import narrow_enough, ratio, timing


def test_the_interval_holds_the_median_and_not_the_outlier() -> None:
    found = timing([10.0, 10.1, 9.9, 10.0, 10.2, 9.8, 10.0, 99.0])

    assert found.low_us <= found.median_us <= found.high_us
    assert found.high_us < 99.0
    assert found.samples == 8


def test_the_ratio_of_a_thing_to_itself_is_one() -> None:
    blocks = [(10.0, 10.2), (9.9, 10.1), (10.0, 10.0)]

    found = ratio(blocks, blocks)

    assert found.value == 1.0
    assert found.low <= 1.0 <= found.high


def test_a_machine_that_slows_down_does_not_move_the_ratio_of_interleaved_blocks() -> None:
    slower = [(20.0 * drift,) for drift in (1.0, 1.5, 2.0, 2.5, 3.0)]
    faster = [(10.0 * drift,) for drift in (1.0, 1.5, 2.0, 2.5, 3.0)]

    found = ratio(slower, faster)

    assert found.value == pytest.approx(2.0)
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)


def test_a_ratio_needs_blocks_taken_side_by_side() -> None:
    with pytest.raises(ValueError, match="same number of blocks"):
        ratio([(1.0,)], [(1.0,), (2.0,)])


def test_sampling_goes_on_until_the_interval_is_narrow() -> None:
    assert narrow_enough([10.0] * 8, within=0.01)
    assert not narrow_enough([5.0, 10.0, 20.0, 7.0, 13.0, 30.0], within=0.01)
    assert not narrow_enough([10.0] * 4, within=0.01)
