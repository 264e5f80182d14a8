"""Blocks are so small that a worker queues one while the device is kept from it."""

from __future__ import annotations

from refine_agent.judge.lead import LEAST_CALLS, Cadence, unhurried
from refine_agent.judge.seats import Block


def block(hidden: tuple[bool, ...]) -> Block:
    return Block(wall_us=1.0, claims_us=(1.0,) * len(hidden), hidden=hidden)


def test_who_queues_a_block_in_time_keeps_its_cadence() -> None:
    asked = []

    def ask(cadence: Cadence) -> Block:
        asked.append(cadence.calls)
        return block((True,) * cadence.calls)

    assert unhurried(Cadence(calls=24), ask).calls == 24
    assert asked == [24]


def test_one_late_launch_is_a_hiccup_of_the_host_and_two_are_too_many_calls() -> None:
    late = iter([True, False])

    def once(cadence: Cadence) -> Block:
        return block((not next(late),) * cadence.calls)

    assert unhurried(Cadence(calls=24), once).calls == 24

    def slow(cadence: Cadence) -> Block:
        return block(tuple(number < 7 for number in range(cadence.calls)))

    assert unhurried(Cadence(calls=24), slow).calls == 6


def test_a_candidate_that_says_it_is_always_late_gets_no_fewer_calls_than_the_clock_needs() -> None:
    def never(cadence: Cadence) -> Block:
        return block((False,) * cadence.calls)

    assert unhurried(Cadence(calls=24), never).calls == LEAST_CALLS
    assert unhurried(Cadence(calls=1), never).calls == 1
