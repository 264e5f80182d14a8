"""Which of two kernels counts as the faster: a baseline's noise crowns nobody."""

from __future__ import annotations

from msgspec.structs import replace

from refine_agent import ranking
from refine_agent.records import Attempt, Passed, Ratio, Timing
from refine_agent.standins import passed


def measured(
    number: int,
    time: tuple[float, float, float],
    ratio: tuple[float, float, float],
    compiled: tuple[float, float, float],
    *,
    sealed: bool = False,
) -> Attempt:
    """Return an attempt; each triple is a median with its interval."""
    verdict = replace(
        passed(1.0), timing=timing(time), compiled=timing(compiled), speedup=interval(ratio)
    )
    attempt = Attempt(number=number, turn=number, author="model", verdict=verdict)
    return replace(attempt, sealed=verdict) if sealed else attempt


def timing(triple: tuple[float, float, float]) -> Timing:
    median, low, high = triple
    return Timing(median_us=median, low_us=low, high_us=high, samples=48)


def interval(triple: tuple[float, float, float]) -> Ratio:
    value, low, high = triple
    return Ratio(value=value, low=low, high=high)


# RMSNorm 8192x8192 bf16 on an H200: beside attempt 3 torch.compile took 67 µs or 94.
JUMPED = measured(3, (72.5, 72.3, 72.9), (1.047, 0.926, 1.494), (76.0, 67.6, 94.2))
STEADY = measured(4, (71.6, 71.3, 71.9), (0.946, 0.942, 0.955), (67.8, 67.5, 68.2))


def test_a_ratio_to_a_baseline_that_jumped_does_not_beat_a_shorter_time() -> None:
    assert ranking.fastest([JUMPED, STEADY]) is STEADY
    assert ranking.fastest([STEADY, JUMPED]) is STEADY


def test_with_the_same_baseline_beside_either_the_time_decides_not_the_lower_end() -> None:
    # The slower kernel's ratio is the tighter one, so its lower end is higher.
    faster = measured(1, (70.0, 69.9, 70.1), (1.0, 0.96, 1.04), (70.0, 67.3, 72.7))
    slower = measured(2, (72.0, 71.9, 72.1), (0.972, 0.970, 0.974), (70.0, 69.9, 70.1))
    assert ranking.fastest([slower, faster]) is faster
    assert ranking.fastest([faster, slower]) is faster


def test_a_restless_baseline_does_not_vouch_for_the_machine() -> None:
    # Eager took 47 ms beside the one and 40 ms beside the other: so did everything.
    slowed = measured(4, (22.4, 18.7, 22.5), (0.93, 0.90, 0.95), (20.7, 15.7, 26.4))
    rested = measured(5, (18.0, 17.4, 18.6), (0.89, 0.87, 0.92), (16.7, 14.4, 19.9))
    assert ranking.fastest([slowed, rested]) is slowed


def test_on_a_machine_that_became_faster_ratios_decide_and_not_times() -> None:
    before = measured(1, (72.0, 71.9, 72.1), (1.50, 1.49, 1.51), (108.0, 107.9, 108.1))
    after = measured(2, (60.0, 59.9, 60.1), (1.20, 1.19, 1.21), (72.0, 71.9, 72.1))
    assert ranking.fastest([before, after]) is before


def test_of_times_that_cannot_be_told_apart_the_shorter_leads() -> None:
    # RMSNorm 8192x8192 bf16 on an H200, two samples of one turn.
    first = measured(6, (68.2, 67.7, 68.5), (1.010, 1.004, 1.017), (68.9, 68.3, 69.4))
    second = measured(7, (67.8, 67.4, 68.0), (1.011, 0.999, 1.017), (68.5, 67.7, 69.0))
    assert ranking.fastest([first, second]) is second
    assert ranking.fastest([second, first]) is second


def test_only_what_is_faster_beyond_its_noise_clearly_beats() -> None:
    level = measured(5, (71.8, 71.5, 72.0), (0.95, 0.944, 0.957), (67.8, 67.5, 68.2))
    assert not ranking.clearly_beats(level, STEADY)
    assert not ranking.clearly_beats(STEADY, JUMPED), "who knows what that one is worth"
    quicker = measured(6, (70.0, 69.8, 70.2), (0.97, 0.965, 0.975), (67.8, 67.5, 68.2))
    assert ranking.clearly_beats(quicker, STEADY)


def test_what_did_not_pass_beats_nobody() -> None:
    failed = Attempt(number=9, turn=9, author="model")
    assert not ranking.beats(failed, STEADY)
    assert ranking.fastest([failed]) is None
    assert ranking.fastest([failed, STEADY]) is STEADY
    assert isinstance(STEADY.verdict, Passed)
