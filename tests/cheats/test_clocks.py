"""What a candidate's claims come to beside the judge's own clock, on numbers made up for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from refine_agent.judge import weighing
from refine_agent.judge.examiner import Samples
from refine_agent.judge.layers import ALL_LAYERS
from refine_agent.judge.leash import Leash
from refine_agent.judge.seats import LATE_STOPS, STILL_S, Block, Ended, Seat
from refine_agent.judge.stolen import Stolen
from refine_agent.records import Checks, Suspicion, headline
from refine_agent.wire import Channel

PER_BLOCK, CALL_US, PROTOCOL_US, DELIVERY_US = 10, 100.0, 200.0, 300.0
SHORT_US, SWITCH_US = 10.0, 60.0  # of calls whose device the judge looks at, and of its turns


def samples(
    *,
    call_us: float = CALL_US,
    claims: tuple[float, ...] = (),
    settling_us: float = 20.0,
    delivery_us: float = DELIVERY_US,
    hidden: bool = True,
    trusted: bool = False,
    busy_us: float | None = None,
    delivering_us: float = SWITCH_US,
) -> Samples:
    """Return ten blocks of calls of one length, with claims that may be others."""
    made = Samples()
    for _ in range(10):
        block = Block(
            wall_us=PROTOCOL_US + PER_BLOCK * call_us,
            claims_us=claims or (call_us,) * PER_BLOCK,
            hidden=(hidden,) * PER_BLOCK,
            settling_us=settling_us,
            delivery_us=delivery_us,
            busy_us=busy_us,
            delivery_busy_us=delivering_us if busy_us is not None else None,
        )
        made.add(block, trusted=trusted)
    return made


def blocks(candidate: Samples) -> dict[str, Samples]:
    null = samples(call_us=5.0)  # writes results that nobody computed
    return {"null": null, "eager": samples(), "candidate": candidate}


def clocks_of(
    taken: dict[str, Samples], alone: dict[str, Samples] | None = None, kind: str = "cpu"
) -> dict[str, weighing._Clocks]:
    return weighing._all_clocks(taken, alone or {}, kind)


def test_time_that_is_moved_to_a_few_calls_is_taken_out_of_no_median() -> None:
    moved = samples(claims=(130.0,) * 4 + (80.0,) * 6)
    clocks = clocks_of(blocks(moved))

    assert weighing._agreement(clocks, "cpu").believed
    assert clocks["candidate"].claim.median_us == 80.0
    assert weighing._evened(clocks).claim.median_us == pytest.approx(CALL_US / weighing.EVEN)


def test_work_left_on_the_device_after_the_answer_is_on_the_judges_clock() -> None:
    early = samples(call_us=0.0, claims=(1.0,) * PER_BLOCK, settling_us=1060.0)
    clocks = clocks_of(blocks(early), kind="cuda")

    assert clocks["candidate"].clock.median_us == pytest.approx(CALL_US)
    assert weighing._agreement(clocks, "cuda").disputed


def test_work_in_the_delivery_is_on_the_judges_clock_and_named() -> None:
    late = samples(call_us=1.0, delivery_us=DELIVERY_US + PER_BLOCK * CALL_US)
    clocks = clocks_of(blocks(late))
    verdict = weighing._dispute(clocks["candidate"])

    assert weighing._agreement(clocks, "cpu").disputed
    assert clocks["candidate"].clock.median_us > 0.8 * CALL_US
    assert verdict.rule == "work in the delivery"


def looked_at(*, work_us: float = SHORT_US, delivering_us: float = SWITCH_US) -> dict[str, Samples]:
    """Blocks too short for anybody's answer to tell, whose device the judge looked at."""

    def seen(claim_us: float, work_us: float, delivering_us: float = SWITCH_US) -> Samples:
        return samples(
            claims=(claim_us,) * PER_BLOCK,
            busy_us=SWITCH_US + PER_BLOCK * work_us,
            delivering_us=delivering_us,
        )

    return {
        "null": seen(2.0, 2.0),
        "eager": seen(SHORT_US, SHORT_US),
        "candidate": seen(SHORT_US, work_us, delivering_us),
    }


def test_a_device_at_work_for_longer_than_was_claimed_is_seen_whoever_is_heard_late() -> None:
    verdict = weighing._seen_at_work(looked_at(work_us=1.5 * SHORT_US))

    assert verdict is not None
    assert verdict.rule == "the clocks disagree"
    assert "5.0 µs per call longer" in verdict.evidence


def test_a_device_at_work_while_results_are_handed_over_is_seen() -> None:
    late = looked_at(delivering_us=SWITCH_US + PER_BLOCK * SHORT_US)
    verdict = weighing._seen_at_work(late)

    assert verdict is not None
    assert verdict.rule == "work in the delivery"
    assert "10.0 µs per call longer" in verdict.evidence


def test_a_device_that_did_what_was_claimed_and_copied_as_for_everybody_tells_nothing() -> None:
    assert weighing._seen_at_work(looked_at()) is None


def test_blocks_in_which_the_device_did_more_than_was_claimed_do_not_count() -> None:
    taken = looked_at()
    taken["candidate"].beyond_us[:4] = [SWITCH_US + 100.0] * 4
    taken["candidate"].delivering_us[4:6] = [SWITCH_US + 100.0] * 2
    found = weighing._agreement(clocks_of(taken, kind="cuda"), "cuda")

    assert weighing._seen_at_work(taken) is None
    assert found.agreeing == [6, 7, 8, 9]


def test_nor_do_blocks_in_which_it_was_free_before_it_could_be() -> None:
    taken = looked_at()
    taken["candidate"].beyond_us[:6] = [-100.0] * 6
    taken["candidate"].hidden[:2] = [False] * 2  # who was late to launch has no work for it yet

    assert weighing._agreement(clocks_of(taken, kind="cuda"), "cuda").agreeing == [0, 1, 6, 7, 8, 9]


def test_a_witness_whose_launches_came_late_is_no_measure_of_what_the_device_did() -> None:
    taken = looked_at(work_us=1.5 * SHORT_US)
    taken["eager"].hidden[2:] = [False] * 8

    assert weighing._seen_at_work(taken) is None


def test_a_delivery_that_takes_what_it_takes_the_witnesses_costs_nothing() -> None:
    usual = samples(delivery_us=1.2 * DELIVERY_US)
    clocks = clocks_of(blocks(usual))

    assert clocks["candidate"].clock.median_us == pytest.approx(CALL_US, abs=1.0)
    assert weighing._agreement(clocks, "cpu").believed


def test_claims_that_never_agree_are_disputed_as_soon_as_the_witnesses_do() -> None:
    short = blocks(samples(claims=(1.0,) * PER_BLOCK))

    assert weighing._agreement(clocks_of(short), "cpu").disputed
    assert not weighing.unsettled(short, {}, ALL_LAYERS, kind="cpu")


def test_claims_that_agree_in_a_few_lucky_blocks_only_are_not_believed() -> None:
    lucky = samples(claims=(60.0,) * PER_BLOCK)
    for number in range(3):
        lucky.walls_us[number] = PROTOCOL_US + PER_BLOCK * 60.0
    found = weighing._agreement(clocks_of(blocks(lucky)), "cpu")

    assert len(found.even) == 3
    assert not found.believed
    assert weighing.unsettled(blocks(lucky), {}, ALL_LAYERS, kind="cpu")


def test_where_the_witnesses_clocks_do_not_agree_either_the_machine_is_named() -> None:
    short = blocks(samples(claims=(60.0,) * PER_BLOCK))
    for number in range(7):  # the baseline is heard late most of the time, and not always as late
        short["eager"].walls_us[number] += 500.0 * number
    found = weighing._agreement(clocks_of(short), "cpu")

    assert found.busy
    assert not found.disputed
    assert weighing.unsettled(short, {}, ALL_LAYERS, kind="cpu")


def test_nothing_hides_behind_launches_that_are_late() -> None:
    """Where the host is late, kernels run while it launches: its time is not to be subtracted."""
    real = samples(call_us=60.0, claims=(1.0,) * PER_BLOCK, hidden=False)
    late = blocks(real) | {
        "null": samples(call_us=60.0, claims=(1.0,) * PER_BLOCK, hidden=False),
        "eager": samples(hidden=False),
    }
    clocks = clocks_of(late, kind="cuda")

    assert not weighing._agreement(clocks, "cuda").believed
    assert clocks["candidate"].clock.median_us > 60.0


def test_who_launches_late_is_charged_for_it_and_not_disqualified() -> None:
    def found(*, hidden: bool) -> weighing._Agreement:
        late = samples(call_us=CALL_US + 25.0, claims=(CALL_US,) * PER_BLOCK, hidden=hidden)
        return weighing._agreement(clocks_of(blocks(late), kind="cuda"), "cuda")

    assert not found(hidden=False).disputed
    assert not found(hidden=False).believed
    assert found(hidden=True).disputed


def test_who_is_heard_late_while_the_device_was_seen_to_rest_is_charged_and_not_disqualified() -> (
    None
):
    """Of short calls an answer that is heard late is more than the calls: that is no lie."""

    def found(worked_us: float) -> tuple[weighing._Agreement, object]:
        rested = PER_BLOCK * SHORT_US + SWITCH_US
        late = samples(
            call_us=3 * SHORT_US,
            claims=(SHORT_US,) * PER_BLOCK,
            busy_us=rested + worked_us,
        )
        eager = samples(call_us=SHORT_US, busy_us=rested)
        taken = {"null": eager, "eager": eager, "candidate": late}
        clocks, cleared = clocks_of(taken, kind="cuda"), weighing._is_cleared(taken)
        return weighing._agreement(clocks, "cuda", cleared=cleared), weighing._seen_at_work(taken)

    late, nothing = found(worked_us=0.0)
    working, seen = found(worked_us=2 * PER_BLOCK * SHORT_US)

    assert nothing is None
    assert not late.disputed
    assert not late.believed
    assert working.disputed
    assert seen is not None


def test_a_witness_that_was_slowed_down_makes_nobody_faster() -> None:
    """What the protocol costs is what it cost whoever was heard soonest."""
    honest = blocks(samples())
    honest["null"].walls_us = [wall + 500.0 for wall in honest["null"].walls_us]

    assert clocks_of(honest, kind="cuda")["candidate"].clock.median_us == pytest.approx(CALL_US)


def test_of_two_clocks_that_cannot_be_verified_the_slower_counts() -> None:
    mine = clocks_of(blocks(samples()), kind="cuda")["candidate"]
    fast = replace(mine, clock_us=[1.0] * len(mine.clock_us))
    slow = replace(mine, clock_us=[2 * CALL_US] * len(mine.clock_us))

    assert fast.slower("cuda").median_us == CALL_US
    assert slow.slower("cuda").median_us == 2 * CALL_US


def test_a_guest_may_take_longer_to_hand_over_one_result_and_no_longer_for_each() -> None:
    def late(extra_us: float, *, each_us: float = 0.0) -> float:
        alone = {role: samples() for role in ("null", "eager")}
        alone["candidate"] = samples(delivery_us=DELIVERY_US + extra_us)
        taken = blocks(samples(delivery_us=DELIVERY_US + extra_us + PER_BLOCK * each_us))
        return clocks_of(taken, alone, "cuda")["candidate"].late_us[0]

    assert late(100.0) == 0.0
    assert late(100.0, each_us=CALL_US) > 0.9 * CALL_US
    assert late(1000.0) > 0.5 * (1000.0 - weighing.SPARE_US) / PER_BLOCK


def test_rounds_in_which_a_baseline_was_disturbed_are_no_speedup() -> None:
    taken = blocks(samples())
    for number in range(6):  # another program, in the middle of its calls: both clocks see some
        burst = tuple(1.6 * claim for claim in taken["eager"].claims_us[number])
        taken["eager"].claims_us[number] = taken["eager"].counted_us[number] = burst
        taken["eager"].walls_us[number] = PROTOCOL_US + 2.4 * PER_BLOCK * CALL_US
    clocks = clocks_of(taken)
    found = weighing._agreement(clocks, "cpu")
    both = weighing._places(found.witnesses["eager"], found.even)

    assert len(found.even) == 10
    assert both == [6, 7, 8, 9]
    assert clocks["eager"].at(found.even).at(both).claim.median_us == CALL_US
    assert weighing._places([6, 7], found.even) == found.even  # too few


def test_one_call_takes_no_less_than_its_kernel_on_a_gpu() -> None:
    """A null that had to fetch memory made the protocol look as costly as the kernel."""

    def single(extra_us: float) -> Samples:
        made = Samples()
        for _ in range(8):
            made.add(Block(wall_us=extra_us + CALL_US, claims_us=(CALL_US,)), trusted=False)
        return made

    alone = {"null": single(350.0), "eager": single(320.0), "candidate": single(250.0)}
    evidence = weighing.Evidence(
        blocks={},
        alone=alone,
        singles=alone,
        checks=Checks(cases=1, calls=1, worst_case="", worst_error=0.0, allowed_error=1.0),
        oddities=(),
        sealed=False,
    )
    call = weighing._alone(evidence, "candidate", "cuda")

    assert call is not None
    assert call.median_us == CALL_US


def test_a_noisy_time_names_the_host_that_took_the_cores_away_and_nothing_else_does() -> None:
    noisy = Suspicion(kind="noisy", evidence="1.00x may be anything")
    other = Suspicion(kind="reused output", evidence="a result is overwritten")

    assert "took 12% of its cores' time" in weighing._with_the_host_named(noisy, 0.12).evidence
    assert weighing._with_the_host_named(other, 0.12) == other
    assert 0 <= Stolen().part() <= 1


def test_a_baseline_is_not_made_slower_by_a_host_that_launches_it_late() -> None:
    made = Samples()
    claims = (70.0, 70.0, 160.0, 210.0)
    made.add(
        Block(wall_us=900.0, claims_us=claims, hidden=(True, True, False, False)), trusted=True
    )
    made.add(Block(wall_us=900.0, claims_us=claims, hidden=(False,) * 4), trusted=True)

    assert made.flat_us == [70.0, 70.0, 70.0]


def stood_still_but_for(seconds: float, *, times: int) -> None:
    """Stop a real process so often, and have it go on as if it had run for so long meanwhile."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
    leash = Leash(process.pid, uid=None)
    ours, theirs = Channel.pair()
    seat = Seat(Channel(ours), "candidate", leash=leash)
    try:
        for _ in range(times):
            leash.stop()
            leash._spent_s = {pid: spent - seconds for pid, spent in leash._spent_s.items()}
            seat._go()
    finally:
        seat.close()
        theirs.close()
        process.kill()
        process.wait()


def test_who_was_a_little_late_to_stop_once_or_twice_did_not_work_out_of_turn() -> None:
    stood_still_but_for(2 * STILL_S["cpu"], times=LATE_STOPS - 1)
    with pytest.raises(Ended) as ended:
        stood_still_but_for(2 * STILL_S["cpu"], times=LATE_STOPS)

    assert "works out of turn" in headline(ended.value.verdict)


def test_who_works_for_long_although_it_was_stopped_is_disqualified_at_once() -> None:
    with pytest.raises(Ended):
        stood_still_but_for(20 * STILL_S["cpu"], times=1)


SPINNERS = """
import threading
def spin():
    while True: pass
for _ in range(3): threading.Thread(target=spin).start()
"""


def test_a_stopped_thread_has_left_its_core_and_all_its_time_is_counted() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", SPINNERS])
    leash = Leash(process.pid, uid=None)
    tasks = Path(f"/proc/{process.pid}/task")
    try:
        time.sleep(0.2)
        for _ in range(100):
            leash.stop()
            waits = [(task / "wchan").read_text() for task in tasks.iterdir()]
            if not leash._told_where:
                pytest.skip("this kernel does not tell what a thread waits in")
            assert "0" not in waits
            assert leash.out_of_turn_s() == 0
            leash.go()
    finally:
        leash.close()
        process.kill()
        process.wait()


RUNNER = """
import os, sys, time
os.setresuid(*[int(sys.argv[1])] * 3)
while True:
    ends = time.monotonic() + 0.002
    while time.monotonic() < ends: pass
    if os.fork(): os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process a user of its own")
def test_a_process_that_forks_and_ends_in_quick_succession_is_stopped_all_the_same() -> None:
    uid = 64_990
    leader = subprocess.Popen([sys.executable, "-S", "-c", RUNNER, str(uid)])
    time.sleep(0.3)
    leash = Leash(leader.pid, uid=uid)
    try:
        for _ in range(5):
            leash.stop()
            before = leash.processor_seconds()
            time.sleep(0.05)
            assert leash.processor_seconds() == before
            assert leash._members()
            leash.go()
            time.sleep(0.02)
    finally:
        leash._warder.tell(b"s")  # type: ignore[union-attr]
        for pid in leash._members():
            os.kill(pid, 9)
        leash.close()
        leader.wait()
