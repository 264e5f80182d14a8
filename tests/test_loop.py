"""The loop over scripted seams: what it asks, judges and profiles, and when it stops."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, suppress
from threading import Barrier, Event
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from refine_agent import loop
from refine_agent.loop import BenchFault, NoAnswer, Quiet, offer, refine
from refine_agent.records import (
    Baseline,
    Budget,
    Changed,
    Crashed,
    Environment,
    Fitness,
    Hinted,
    Measured,
    Mismatch,
    Moved,
    Options,
    Passed,
    Problem,
    Prompted,
    Replied,
    Reply,
    Resumed,
    Started,
    Suspicion,
    Unreadable,
    Usage,
    Vetoed,
)
from refine_agent.standins import (
    ScriptedAuthor,
    ScriptedBench,
    kernel,
    passed,
    setup,
    source,
    timing,
)
from refine_agent.transcript import SCHEMA, Transcript, new_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from refine_agent.profiling.records import Page
    from refine_agent.records import AnyEvent, AnyVerdict, Candidate, Prompt, Setup

    Start = Callable[..., Transcript]

PROBLEM = Problem(name="scale", source="class Model: ...\n")
WORDS = "Let me think about this first."


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def start(*, samples: int = 1, **budget: float | None) -> Transcript:
        limits = {"turns": None, **budget} if "turns" not in budget else budget
        run = new_run_id()
        return Transcript.create(
            tmp_path / run,
            Started(
                at=0.0,
                schema=SCHEMA,
                run=run,
                problem=PROBLEM,
                model="script",
                options=Options(budget=Budget(**limits), samples=samples),  # type: ignore[arg-type]
                templates={},
                version="0",
            ),
        )

    return start


def priced(cost_usd: float) -> Reply:
    return Reply(
        text=kernel(speedup=1.1),
        model="priced",
        answers="-",
        cost_usd=cost_usd,
        usage=Usage(output_tokens=10),
    )


# --- when it stops ---------------------------------------------------------------------------


def test_it_takes_as_many_turns_as_it_may(start: Start) -> None:
    run = start(turns=3)

    list(refine(run, ScriptedAuthor([WORDS] * 9), ScriptedBench()))

    assert run.model_turns == 3
    assert loop.spent(run) == "3 of 3 turns taken"


def test_it_stops_as_soon_as_a_sealed_kernel_meets_the_target(start: Start) -> None:
    run = start(turns=8, target=1.5)
    speeds = [kernel(speedup=speed) for speed in (1.2, 1.6, 9.9)]

    turns = list(refine(run, ScriptedAuthor(speeds), ScriptedBench()))

    assert [turn.number for turn in turns] == [1, 2]
    assert run.best is not None
    assert isinstance(run.best.sealed, Passed)


def test_a_target_inside_the_interval_is_not_reached(start: Start) -> None:
    run = start(turns=2, target=1.5)
    verdicts = [passed(1.52, spread=0.05), passed(1.6, spread=0.05)]

    list(refine(run, ScriptedAuthor([kernel(speedup=1.5)] * 2), ScriptedBench(verdicts)))

    assert run.model_turns == 2  # 1.52 may well be 1.45
    assert loop.spent(run) == "reached 1.60x, at least 1.52x (target 1.50x)"


def test_a_kernel_that_does_not_survive_its_sealing_does_not_stop_the_run(start: Start) -> None:
    run = start(turns=2, target=1.5)
    speeds = [kernel(speedup=1.6), kernel(speedup=1.7)]

    turns = list(refine(run, ScriptedAuthor(speeds), ScriptedBench(seals=False)))

    assert len(turns) == 2
    assert run.best is None


def test_money_stops_it_once_the_replies_cost_that_much(start: Start) -> None:
    run = start(usd=0.05)

    list(refine(run, ScriptedAuthor([priced(0.02)] * 9), ScriptedBench()))

    assert run.model_turns == 3
    assert loop.spent(run) == "$0.06 of $0.05 spent"


def test_with_a_limit_on_money_a_reply_of_unknown_price_is_the_last(start: Start) -> None:
    run = start(usd=5.0)
    replies: list[str | Reply] = [priced(0.02), kernel(speedup=1.2), *[priced(0.02)] * 9]

    list(refine(run, ScriptedAuthor(replies), ScriptedBench()))

    assert run.model_turns == 2
    why = loop.spent(run)
    assert why is not None
    assert "the price of script is unknown, so that $5.00 cannot be kept to" in why
    assert """REFINE_AGENT_PRICING='{"script": {"input": 3.0, "output": 15.0}}'""" in why
    assert "\n" not in why


@pytest.mark.parametrize("say", [Resumed(at=0.0), Moved(at=0.0, attempt=None, reason="branched")])
def test_whoever_goes_on_although_a_price_was_unknown_may(start: Start, say: AnyEvent) -> None:
    run = start(usd=0.05)
    list(refine(run, ScriptedAuthor([WORDS] * 9), ScriptedBench()))
    assert run.model_turns == 1

    run.record(say)
    list(refine(run, ScriptedAuthor([priced(0.02)] * 9), ScriptedBench()))

    assert run.model_turns == 4
    assert loop.spent(run) == "$0.06 of $0.05 spent"


def test_without_a_limit_on_money_no_price_is_needed(start: Start) -> None:
    run = start(turns=3)

    list(refine(run, ScriptedAuthor([WORDS] * 9), ScriptedBench()))

    assert run.model_turns == 3


@pytest.mark.parametrize("written", ["manual", "script:answers"])
def test_what_a_person_writes_spends_no_money(start: Start, written: str) -> None:
    run = start(turns=3, usd=1.0)
    run.record(Changed(at=0.0, model=written, options=run.options))

    list(refine(run, ScriptedAuthor([WORDS] * 9), ScriptedBench()))

    assert run.model_turns == 3


def test_minutes_count_turns_and_not_the_pauses_between_them(start: Start) -> None:
    run = start(minutes=1 / 600)

    class Slow(ScriptedAuthor):
        def ask(self, prompt: Prompt, *, attempt: int, watch: loop.Watch) -> Reply:
            reply = super().ask(prompt, attempt=attempt, watch=watch)
            return Reply(text=reply.text, model="slow", answers=prompt.digest, seconds=0.06)

    list(refine(run, Slow([WORDS] * 9), ScriptedBench()))

    assert run.model_turns == 2


def test_patience_ends_with_turns_that_bring_nothing_better(start: Start) -> None:
    run = start(patience=2)
    speeds = [1.1, 1.3, 1.2, 1.25, 1.9]

    list(refine(run, ScriptedAuthor([kernel(speedup=s) for s in speeds]), ScriptedBench()))

    assert run.model_turns == 4
    assert run.best is not None
    assert run.best.number == 2


def test_a_run_without_a_single_pass_ends_with_patience_too(start: Start) -> None:
    run = start(patience=3)

    list(refine(run, ScriptedAuthor([WORDS] * 9), ScriptedBench()))

    assert run.model_turns == 3


def test_patience_is_counted_anew_once_the_best_is_taken_away(start: Start) -> None:
    run = start(patience=3)
    speeds = [1.2, 1.1, 1.1, 1.9]
    turns = refine(run, ScriptedAuthor([kernel(speedup=s) for s in speeds]), ScriptedBench())
    for _ in speeds:
        next(turns)

    run.record(Vetoed(at=1.0, attempt=4, reason="it needs a flag that we do not allow"))

    assert run.best is not None
    assert run.best.number == 1
    assert run.turns_since_best == 0
    assert loop.spent(run) is None


def test_patience_is_counted_anew_where_the_engineer_goes_back(start: Start) -> None:
    run = start(patience=2)
    author = ScriptedAuthor([kernel(speedup=speed) for speed in (1.2, 1.1, 1.0, 0.9)])
    turns = refine(run, author, ScriptedBench())
    for _ in range(2):
        next(turns)

    run.record(Moved(at=1.0, attempt=2))
    list(turns)

    assert run.model_turns == 4
    assert run.turns_since_best == 2


def test_patience_is_counted_anew_after_a_seal_that_failed(start: Start) -> None:
    class Strict(ScriptedBench):
        def seal(self, candidate: Candidate, watch: loop.Watch) -> AnyVerdict:
            found = super().seal(candidate, watch)
            return Mismatch(case="sealed", reason="differs") if "1.9" in candidate.source else found

    run = start(patience=3, target=1.5)
    speeds = [1.2, 1.1, 1.1, 1.9, 1.0, 1.0]
    list(refine(run, ScriptedAuthor([kernel(speedup=s) for s in speeds]), Strict()))

    assert run.best is not None
    assert run.best.number == 1
    assert run.model_turns == 6


def test_any_limit_alone_is_enough(start: Start) -> None:
    run = start(turns=2, patience=5, usd=9.0, minutes=9.0, target=9.0)

    list(refine(run, ScriptedAuthor([priced(0.01)] * 9), ScriptedBench()))

    assert run.model_turns == 2


# --- what a turn does ------------------------------------------------------------------------


def test_a_kernel_that_does_not_build_is_neither_judged_nor_profiled(start: Start) -> None:
    bench = ScriptedBench()

    list(refine(start(turns=1), ScriptedAuthor([kernel(says="does not build")]), bench))

    assert (len(bench.built), bench.judged, bench.profiled) == (1, [], [])


def test_a_wrong_kernel_is_never_profiled(start: Start) -> None:
    bench = ScriptedBench()

    list(refine(start(turns=1), ScriptedAuthor([kernel(says="mismatch: last tile")]), bench))

    assert bench.profiled == []


def test_a_reply_without_code_costs_a_turn_and_never_reaches_the_bench(start: Start) -> None:
    bench = ScriptedBench()

    (turn,) = refine(start(turns=1), ScriptedAuthor([WORDS]), bench)

    assert isinstance(turn.attempts[0].verdict, Unreadable)
    assert bench.built == []


def test_of_three_samples_the_fastest_goes_on_and_only_it_is_profiled(start: Start) -> None:
    bench = ScriptedBench()
    speeds = [1.1, 1.9, 1.4]
    run = start(turns=1, samples=3)

    (turn,) = refine(run, ScriptedAuthor([kernel(speedup=s) for s in speeds]), bench)

    assert sorted(attempt.speedup for attempt in turn.attempts) == sorted(speeds)
    assert run.parent is not None
    assert run.parent.speedup == 1.9
    assert ["1.9" in candidate.source for candidate in bench.profiled] == [True]


def test_replies_that_arrived_beside_a_failing_sample_are_kept(start: Start) -> None:
    run = start(turns=1, samples=3)
    author = ScriptedAuthor([kernel(speedup=1.1), NoAnswer("not yet"), kernel(speedup=1.2)])

    with pytest.raises(NoAnswer):
        list(refine(run, author, ScriptedBench()))

    assert sum(isinstance(event, Replied) for event in run.events) == 2
    list(refine(run, ScriptedAuthor([kernel(speedup=1.3)]), ScriptedBench()))
    assert sorted(attempt.speedup for attempt in run.attempts) == [1.1, 1.2, 1.3]


def test_the_next_turn_revises_the_best_kernel_not_the_last(start: Start) -> None:
    run = start(turns=3)
    speeds = [kernel(speedup=1.8), kernel(speedup=1.2), WORDS]

    list(refine(run, ScriptedAuthor(speeds), ScriptedBench()))

    revised = [a.candidate.parent for a in run.attempts if a.candidate is not None]
    assert revised == [None, 1]
    assert run.parent is not None
    assert run.parent.number == 1


def test_the_best_is_sealed_before_it_is_reported_and_only_once(start: Start) -> None:
    bench = ScriptedBench()
    run = start(turns=2)

    list(refine(run, ScriptedAuthor([kernel(speedup=1.8), kernel(speedup=1.2)]), bench))

    assert [candidate.digest for candidate in bench.sealed] == [run.attempts[0].candidate.digest]  # type: ignore[union-attr]


def test_when_the_best_does_not_survive_its_sealing_the_next_best_is_sealed(start: Start) -> None:
    run = start(turns=2)
    author = ScriptedAuthor([kernel(speedup=1.8), kernel(speedup=1.2)])
    bench = ScriptedBench(seals=False)

    list(refine(run, author, bench))

    assert [attempt.sealed is not None for attempt in run.attempts] == [True, True]
    assert all(isinstance(attempt.sealed, Mismatch) for attempt in run.attempts)


class Sobering(ScriptedBench):
    """Finds everything a tenth slower when it seals."""

    def seal(self, candidate: Candidate, watch: loop.Watch) -> AnyVerdict:
        found = super().seal(candidate, watch)
        assert isinstance(found, Passed)
        return replace(passed(found.speedup.value * 0.9, spread=0.05), sealed=True)


def test_a_rival_within_the_noise_of_a_sealed_kernel_is_not_sealed_too(start: Start) -> None:
    run = start(turns=3)
    bench = Sobering([passed(speed, spread=0.2) for speed in (1.50, 1.49, 1.48)])
    author = ScriptedAuthor([kernel(speedup=1.0, note=name) for name in "abc"])

    list(refine(run, author, bench))

    assert len(bench.sealed) == 1
    assert run.best is not None
    assert run.best.number == 1


def test_a_rival_clearly_faster_than_a_sealed_kernel_is_sealed_in_its_turn(start: Start) -> None:
    run, bench = start(turns=2, target=1.4), Sobering()
    author = ScriptedAuthor([kernel(speedup=1.5), kernel(speedup=1.9)])

    list(refine(run, author, bench))

    assert len(bench.sealed) == 2
    assert run.best is not None
    assert run.best.number == 2


class Industrious(ScriptedBench):
    """Says what it did while the model thought."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str] = []
        self.at_work = False

    @contextmanager
    def meanwhile(self, candidate: Candidate) -> Iterator[None]:
        self.prepared.append(candidate.digest)
        self.at_work = True
        try:
            yield
        finally:
            self.at_work = False

    def build(self, candidate: Candidate, watch: loop.Watch) -> AnyVerdict | None:
        assert not self.at_work
        return super().build(candidate, watch)


def test_while_the_model_thinks_the_best_kernel_so_far_is_prepared_for_its_seal(
    start: Start,
) -> None:
    run, bench = start(turns=4), Industrious()
    speeds = (1.5, 1.2, 1.9, 1.0)

    list(refine(run, ScriptedAuthor([kernel(speedup=speed) for speed in speeds]), bench))

    first, _, third, _ = (attempt.candidate for attempt in run.attempts)
    assert first is not None
    assert third is not None
    assert bench.prepared == [first.digest, first.digest, third.digest]


def test_a_doubtful_speedup_is_carried_with_its_doubt(start: Start) -> None:
    doubt = Suspicion(kind="faster than the floor", evidence="12 µs below a copy")
    run = start(turns=1)
    doubtful = replace(passed(40.0), suspicions=(doubt,))

    list(refine(run, ScriptedAuthor([kernel(speedup=1.0)]), ScriptedBench([doubtful])))

    assert run.attempts[0].passed is not None
    assert run.attempts[0].passed.suspicions == (doubt,)


def test_the_ledger_of_a_turn_sums_to_its_wall_time(start: Start) -> None:
    (turn,) = refine(start(turns=1), ScriptedAuthor([kernel(speedup=1.2)]), ScriptedBench())

    assert turn.seconds is not None
    assert sum(phase.seconds for phase in turn.ledger) == pytest.approx(turn.seconds)


def test_what_a_candidate_did_is_a_finding_and_the_loop_goes_on(start: Start) -> None:
    crash = Crashed(during="run", reason="segmentation fault")
    run = start(turns=2)
    author = ScriptedAuthor([kernel(speedup=1.0, note="a"), kernel(speedup=1.0, note="b")])

    list(refine(run, author, ScriptedBench([crash, passed(1.4)])))

    assert [attempt.speedup for attempt in run.attempts] == [0.0, 1.4]


def test_a_fault_of_the_machine_stops_the_run_scores_nothing_and_can_be_resumed(
    start: Start,
) -> None:
    run = start(turns=1)
    author = ScriptedAuthor([kernel(speedup=1.4)])

    with pytest.raises(BenchFault):
        list(refine(run, author, ScriptedBench([BenchFault("the GPU fell off the bus")])))

    assert run.attempts[0].verdict is None
    assert run.turns[0].fault == "the GPU fell off the bus"
    list(refine(run, author, ScriptedBench()))
    assert run.attempts[0].speedup == 1.4
    assert len(author.asked) == 1


class Hanging(ScriptedBench):
    """Loses a process to the driver, a new one each time, while it judges what says so."""

    def __init__(self, *, while_profiling: bool = False) -> None:
        super().__init__()
        self.lost = 16
        self._while_profiling = while_profiling

    def judge(self, candidate: Candidate, watch: loop.Watch) -> AnyVerdict:
        if not self._while_profiling:
            self._meet(candidate)
        return super().judge(candidate, watch)

    def profile(self, candidate: Candidate, verdict: Passed, watch: loop.Watch) -> Page | None:
        if self._while_profiling:
            self._meet(candidate)
        return super().profile(candidate, verdict, watch)

    def _meet(self, candidate: Candidate) -> None:
        if "hangs" in candidate.source:
            self.lost += 1
            raise BenchFault(f"process {self.lost} could not be killed")


HANGS = kernel(speedup=9.0, note="hangs")


def test_a_kernel_that_meets_the_same_fault_twice_is_left_and_the_run_goes_on(
    start: Start,
) -> None:
    run, bench = start(turns=2), Hanging()
    author = ScriptedAuthor([HANGS, kernel(speedup=1.4)])

    with pytest.raises(BenchFault, match=r"process 17 could not be killed .*hint RUN --veto 1 WHY"):
        list(refine(run, author, bench))
    assert run.open_turn == 1
    list(refine(run, author, bench))

    assert bench.lost == 18
    assert [attempt.verdict is None for attempt in run.attempts] == [True, False]
    assert [attempt.speedup for attempt in run.attempts] == [0.0, 1.4]
    assert run.turns[0].fault == "process 18 could not be killed"
    assert run.turns[1].fault is None
    assert len(author.asked) == 2
    assert "**Attempt 1** has not been judged" in author.asked[1].messages[-1].content


def test_whether_an_attempt_is_left_follows_from_what_is_on_the_disk(start: Start) -> None:
    run, author = start(turns=2), ScriptedAuthor([HANGS, kernel(speedup=1.4)])
    with pytest.raises(BenchFault):
        list(refine(run, author, Hanging()))
    run.close()

    again = Transcript.open(run.folder)
    list(refine(again, author, Hanging()))

    assert [attempt.speedup for attempt in again.attempts] == [0.0, 1.4]


def test_another_fault_on_the_same_attempt_is_no_reason_to_leave_it(start: Start) -> None:
    run, author = start(turns=1), ScriptedAuthor([kernel(speedup=1.4)])

    for why in ("the disk is full", "the GPU fell off the bus"):
        with pytest.raises(BenchFault, match=why):
            list(refine(run, author, ScriptedBench([BenchFault(why)])))
    list(refine(run, author, ScriptedBench()))

    assert run.attempts[0].speedup == 1.4


def test_the_samples_beside_one_that_is_left_are_judged(start: Start) -> None:
    run, bench = start(turns=1, samples=3), Hanging()
    author = ScriptedAuthor([HANGS, kernel(speedup=1.4), kernel(speedup=1.2)])
    with pytest.raises(BenchFault):
        list(refine(run, author, bench))

    list(refine(run, author, bench))

    assert sorted(attempt.speedup for attempt in run.attempts) == [0.0, 1.2, 1.4]
    assert run.model_turns == 1


def test_a_veto_leaves_out_at_once_what_the_machine_failed_on(start: Start) -> None:
    run, bench = start(turns=2), Hanging()
    author = ScriptedAuthor([HANGS, kernel(speedup=1.4)])
    with pytest.raises(BenchFault):
        list(refine(run, author, bench))

    run.record(Vetoed(at=1.0, attempt=1, reason="it hangs the device"))
    list(refine(run, author, bench))

    assert bench.lost == 17
    assert [attempt.speedup for attempt in run.attempts] == [0.0, 1.4]
    assert "it hangs the device" in author.asked[1].messages[-1].content


def test_a_kernel_that_cannot_be_profiled_keeps_its_verdict_and_the_run_goes_on(
    start: Start,
) -> None:
    run, bench = start(turns=2), Hanging(while_profiling=True)
    author = ScriptedAuthor([HANGS, kernel(speedup=1.4)])
    with pytest.raises(BenchFault):
        list(refine(run, author, bench))

    list(refine(run, author, bench))

    assert [attempt.speedup for attempt in run.attempts] == [9.0, 1.4]
    assert [attempt.page is None for attempt in run.attempts] == [True, False]


def test_a_kernel_that_cannot_be_sealed_stops_the_run_until_it_is_vetoed(start: Start) -> None:
    class Unsealing(ScriptedBench):
        def seal(self, candidate: Candidate, watch: loop.Watch) -> AnyVerdict:
            if "hangs" in candidate.source:
                raise BenchFault("process 17 could not be killed")
            return super().seal(candidate, watch)

    run, bench = start(turns=2), Unsealing()
    author = ScriptedAuthor([HANGS, kernel(speedup=1.4)])
    for _ in range(3):
        with pytest.raises(BenchFault, match=r"attempt 1 was being sealed; `hint RUN --veto 1"):
            list(refine(run, author, bench))

    run.record(Vetoed(at=1.0, attempt=1, reason="it hangs the device"))
    list(refine(run, author, bench))

    assert run.best is not None
    assert run.best.number == 2
    assert isinstance(run.best.sealed, Passed)


# --- the engineer's turns --------------------------------------------------------------------


def test_the_engineer_can_play_a_turn_between_the_models(start: Start) -> None:
    run, bench = start(turns=2), ScriptedBench()
    turns = refine(run, ScriptedAuthor([kernel(speedup=1.1), kernel(speedup=1.9)]), bench)

    next(turns)
    offer(run, bench, source(speedup=1.8), parent=1, watch=Quiet())
    list(turns)

    assert [attempt.author for attempt in run.attempts] == ["model", "engineer", "model"]
    assert run.model_turns == 2
    assert run.attempts[2].candidate is not None
    assert run.attempts[2].candidate.parent == 2


def test_an_offer_that_was_cut_short_is_finished_without_asking_a_model(start: Start) -> None:
    run = start(turns=1)
    with pytest.raises(BenchFault):
        offer(run, ScriptedBench([BenchFault("no driver")]), source(speedup=1.5))
    author = ScriptedAuthor([])

    turn = loop.take_turn(run, author, ScriptedBench(), Quiet())

    assert [attempt.speedup for attempt in turn.attempts] == [1.5]
    assert author.asked == []


# --- what is measured anew --------------------------------------------------------------------


class Elsewhere(ScriptedBench):
    """A bench that finds a machine or a problem to be as it is told."""

    def __init__(self, found: Setup) -> None:
        super().__init__()
        self.found = found

    def measure(self, problem: Problem, watch: loop.Watch) -> Setup:  # noqa: ARG002
        return self.found


def measurements(run: Transcript) -> int:
    return sum(isinstance(event, Measured) for event in run.events)


def test_a_machine_that_measures_the_same_within_its_noise_is_not_recorded_again(
    start: Start,
) -> None:
    run, first = start(turns=2), replace(setup(), floor_us=100.0)
    noise = replace(first.baseline, eager=timing(1015.0), compiled=timing(790.0))

    loop.begin(run, Elsewhere(first), Quiet())
    loop.begin(run, Elsewhere(replace(first, baseline=noise, floor_us=98.0)), Quiet())

    assert measurements(run) == 1


@pytest.mark.parametrize(
    "news",
    [
        {"baseline": Baseline(eager=timing(1000.0), compiled=timing(700.0))},
        {"baseline": Baseline(eager=timing(1000.0), compiled=None, why_not_compiled="no time")},
        {"floor_us": 50.0},
        {"bound_us": 20.0},
        {"fitness": Fitness(rejected=("zeros",), accepted=("mean",), cases=("normal",))},
        {"ceilings": ("measured copy 4270 GB/s",)},
        {"environment": Environment(device="another device", device_kind="cpu")},
    ],
    ids=lambda news: next(iter(news)),
)
def test_what_a_resumed_run_finds_otherwise_is_recorded(start: Start, news: dict[str, Any]) -> None:
    run, first = start(turns=2), replace(setup(), floor_us=100.0)
    later = replace(first, **news)

    loop.begin(run, Elsewhere(first), Quiet())
    loop.begin(run, Elsewhere(later), Quiet())

    assert measurements(run) == 2
    assert run.setup == later


def test_the_prompt_after_a_new_measurement_names_no_floor_of_before(start: Start) -> None:
    run, first = start(turns=2), replace(setup(), floor_us=413.6)
    author = ScriptedAuthor([kernel(speedup=1.6), kernel(speedup=1.7)])
    loop.begin(run, Elsewhere(first), Quiet())
    loop.take_turn(run, author, Elsewhere(first), Quiet())

    later = Elsewhere(replace(first, floor_us=50.0))
    loop.begin(run, later, Quiet())
    loop.take_turn(run, author, later, Quiet())

    asked = "\n".join(message.content for message in author.asked[-1].messages)
    assert "413.6" not in asked
    assert "Floor at this machine's measured ceilings: 50.0" in asked


# --- a prompt that nobody has answered --------------------------------------------------------


def test_a_hint_after_an_unanswered_prompt_is_in_the_prompt_that_is_answered(start: Start) -> None:
    run = start(turns=2)
    with pytest.raises(NoAnswer):
        list(refine(run, ScriptedAuthor([]), ScriptedBench()))
    run.record(Hinted(at=1.0, text="keep the row in registers"))

    author = ScriptedAuthor([kernel(speedup=1.2), kernel(speedup=1.3)])
    list(refine(run, author, ScriptedBench()))

    asked = [prompt.messages[-1].content for prompt in author.asked]
    assert ["keep the row" in words for words in asked] == [True, False]
    answered = run.attempts[0].reply
    assert answered is not None
    assert answered.answers == run.turns[0].prompt.digest  # type: ignore[union-attr]


def test_a_prompt_that_nothing_happened_since_is_asked_again_to_the_letter(start: Start) -> None:
    run = start(turns=1)
    for replies in ([], [kernel(speedup=1.2)]):
        author = ScriptedAuthor(replies)
        with suppress(NoAnswer):
            list(refine(run, author, ScriptedBench()))

    assert sum(isinstance(event, Prompted) for event in run.events) == 1


def test_an_answer_that_lies_there_already_keeps_the_prompt_it_answers(start: Start) -> None:
    class Written(ScriptedAuthor):
        def has_answer(self, turn: int) -> bool:
            return turn == 1

    run = start(turns=2)
    with pytest.raises(NoAnswer):
        list(refine(run, ScriptedAuthor([]), ScriptedBench()))
    run.record(Hinted(at=1.0, text="keep the row in registers"))

    author = Written([kernel(speedup=1.2), kernel(speedup=1.3)])
    list(refine(run, author, ScriptedBench()))

    asked = [prompt.messages[-1].content for prompt in author.asked]
    assert ["keep the row" in words for words in asked] == [False, True]


def test_an_offer_beside_an_unanswered_prompt_is_in_the_prompt_that_is_answered(
    start: Start,
) -> None:
    run, bench = start(turns=1), ScriptedBench()
    with pytest.raises(NoAnswer):
        list(refine(run, ScriptedAuthor([]), bench))
    offer(run, bench, source(speedup=1.9), idea="my own layout")

    author = ScriptedAuthor([kernel(speedup=2.0)])
    list(refine(run, author, bench))

    assert "my own layout" in author.asked[0].messages[-1].content
    assert run.attempts[-1].candidate.parent == 1  # type: ignore[union-attr]


def test_whoever_interrupts_leaves_no_reply_streaming(start: Start) -> None:
    begun, ended = Barrier(2, timeout=20), Event()

    class Streaming:
        name = "stream"

        def ask(self, prompt: Prompt, *, attempt: int, watch: loop.Watch) -> Reply:  # noqa: ARG002
            begun.wait()
            if attempt == 1:
                raise KeyboardInterrupt
            try:
                while True:
                    watch.text("more ")
                    time.sleep(0.001)
            finally:
                ended.set()

    with pytest.raises(KeyboardInterrupt):
        list(refine(start(samples=2, turns=1), Interrupted(Streaming()), ScriptedBench()))

    assert ended.wait(20)


class Interrupted:
    """An author beside whom somebody presses Ctrl-C as soon as one of its samples ends."""

    def __init__(self, author: loop.Author) -> None:
        self.name = author.name
        self._author = author

    def ask(self, prompt: Prompt, *, attempt: int, watch: loop.Watch) -> Reply:
        try:
            return self._author.ask(prompt, attempt=attempt, watch=watch)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            return Reply(text="", model="nobody", answers=prompt.digest)
