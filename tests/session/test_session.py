"""The session: everything an engineer can do to a run lands in it, and the next prompt knows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent import inbox
from refine_agent.author import AuthorFault
from refine_agent.inbox import Back, Hint, Offer, Saves, Stop, Veto, drop
from refine_agent.kernel_file import KernelFileError, read_candidate
from refine_agent.loop import BenchFault, NoAnswer
from refine_agent.records import Budget, Hinted, Moved, Options, Problem, Stopped, Vetoed
from refine_agent.session import Session, SessionError
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, source
from refine_agent.transcript import INBOX, Transcript, TranscriptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from refine_agent.loop import Watch
    from refine_agent.records import AnyVerdict, Candidate, Reply

    Begin = Callable[..., Session]

PROBLEM = Problem(name="scale", source="class Model: ...\n")


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    opened: list[Session] = []

    def begin(*replies: str | Reply | BaseException, turns: int | None = 8) -> Session:
        session = Session.start(
            PROBLEM,
            options=Options(budget=Budget(turns=turns)),
            runs=tmp_path,
            author=ScriptedAuthor(replies),
            bench=ScriptedBench(),
        )
        opened.append(session)
        return session

    yield begin
    for session in opened:
        session.close()


def asked_last(session: Session) -> str:
    author = session._author
    assert isinstance(author, ScriptedAuthor)
    return "\n".join(message.content for message in author.asked[-1].messages)


# --- taking turns ----------------------------------------------------------------------------


def test_running_out_of_turns_seals_the_best_and_writes_down_why(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2), kernel(speedup=1.4), turns=2)

    session.run()

    assert session.best is not None
    assert session.best.sealed is not None
    assert session.transcript.stopped is not None
    assert session.transcript.stopped.reason == "2 of 2 turns taken"


def test_a_few_turns_of_many_leave_the_run_open(begin: Begin) -> None:
    session = begin(*[kernel(speedup=1.2)] * 4)

    taken = session.run(turns=2)

    assert [turn.number for turn in taken] == [1, 2]
    assert session.transcript.stopped is None


def test_a_hint_is_in_the_next_prompt_and_only_there(begin: Begin) -> None:
    session = begin(*[kernel(speedup=1.2)] * 3)

    session.step(hint="the rows are 32 KB: keep one in registers")
    first = asked_last(session)
    session.step()

    assert "keep one in registers" in first
    assert session.transcript.hints == ()


def test_an_empty_hint_is_refused(begin: Begin) -> None:
    with pytest.raises(SessionError, match="empty"):
        begin().hint("  ")


@pytest.mark.parametrize(
    "fault", [NoAnswer("answer 1 is missing"), AuthorFault("the key was refused")]
)
def test_a_run_that_breaks_off_says_why_and_can_be_resumed(
    begin: Begin, fault: BaseException
) -> None:
    session = begin(fault)

    with pytest.raises(type(fault)):
        session.run()

    assert session.transcript.stopped is not None
    assert session.transcript.stopped.reason == str(fault)
    assert session.transcript.stopped.resumable
    folder = session.transcript.folder
    session.close()
    with Session.open(
        folder, author=ScriptedAuthor([kernel(speedup=1.3)] * 8), bench=ScriptedBench()
    ) as again:
        again.run()
        assert again.transcript.model_turns == 8


def test_a_target_that_only_an_unsealed_kernel_meets_is_not_reached(tmp_path: Path) -> None:
    class Faulty(ScriptedBench):
        def seal(self, candidate: Candidate, watch: Watch) -> AnyVerdict:  # noqa: ARG002
            raise BenchFault("the disk is full")

    options = Options(budget=Budget(turns=2, target=1.5))
    author = ScriptedAuthor([kernel(speedup=1.6)])
    with (
        Session.start(PROBLEM, options=options, runs=tmp_path, author=author, bench=Faulty()) as it,
        pytest.raises(BenchFault),
    ):
        it.run()

    author, bench = ScriptedAuthor([kernel(speedup=1.2)]), ScriptedBench(seals=False)
    with Session.open(it.transcript.folder, author=author, bench=bench) as again:
        again.run()

    assert again.transcript.model_turns == 2
    assert again.best is None


def test_an_interrupted_turn_is_written_down_as_such(begin: Begin) -> None:
    session = begin(KeyboardInterrupt())

    with pytest.raises(KeyboardInterrupt):
        session.step()

    assert session.transcript.stopped is not None
    assert session.transcript.stopped.reason == "interrupted"


# --- the engineer's own ------------------------------------------------------------------------


def test_an_offer_is_judged_profiled_and_shown_as_the_engineers(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2), kernel(speedup=1.3))
    session.step()

    turn = session.offer(source(speedup=1.9), idea="what I would write", parent=1)
    session.step()

    (mine,) = turn.attempts
    assert (mine.author, mine.speedup) == ("engineer", 1.9)
    assert mine.page is not None
    assert session.transcript.model_turns == 2
    assert "# speedup: 1.9" in asked_last(session)


def test_an_edit_is_an_offer_whose_parent_is_what_was_edited(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2))
    session.step()

    turn = session.edit(1, session.source(1).replace("1.2", "1.5"))

    assert turn.attempts[0].candidate is not None
    assert turn.attempts[0].candidate.parent == 1
    with pytest.raises(SessionError, match="nothing was changed"):
        session.edit(1, session.source(1))


def test_a_vetoed_kernel_is_neither_best_nor_parent_and_the_prompt_says_why(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2), kernel(speedup=1.8), kernel(speedup=1.1))
    session.run(turns=2)

    session.veto(2, "it depends on the clock")
    session.step()

    assert session.best is not None
    assert session.best.number == 1
    assert session.transcript.attempt(3).candidate is not None
    assert session.transcript.attempt(3).candidate.parent == 1  # type: ignore[union-attr]
    assert "it depends on the clock" in asked_last(session)


def test_a_veto_needs_a_reason_and_an_attempt(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2))
    session.step()

    with pytest.raises(SessionError, match="reason"):
        session.veto(1, " ")
    with pytest.raises(TranscriptError, match="no attempt 9"):
        session.veto(9, "why not")


def test_a_veto_on_where_the_engineer_went_back_to_takes_the_move_back(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2), kernel(speedup=1.5), kernel(speedup=1.1))
    session.run(turns=2)

    session.back(2)
    session.veto(2, "it is patented")
    session.step()

    assert session.transcript.attempt(3).candidate.parent == 1  # type: ignore[union-attr]
    assert "The kernel to revise: attempt 1" in asked_last(session)


def test_what_was_found_after_going_back_stays_the_parent_when_its_start_is_vetoed(
    begin: Begin,
) -> None:
    session = begin(kernel(speedup=1.9), kernel(speedup=1.2), kernel(speedup=1.3))
    session.run(turns=2)
    session.back(2)
    session.step()

    session.veto(2, "it is patented")

    assert session.transcript.parent is not None
    assert session.transcript.parent.number == 3


def test_going_back_revises_that_attempt_until_its_branch_beats_it(begin: Begin) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.8, 1.1, 1.3, 1.4)))
    session.run(turns=2)

    session.back(1)
    session.run(turns=3)

    parents = [a.candidate.parent for a in session.transcript.attempts if a.candidate]
    assert parents == [None, 1, 1, 1, 4]


def test_going_back_to_the_reference_starts_over(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2), kernel(speedup=1.1))
    session.step()

    session.back(None)
    session.step()

    assert session.transcript.attempt(2).candidate is not None
    assert session.transcript.attempt(2).candidate.parent is None  # type: ignore[union-attr]


def test_an_attempt_without_a_kernel_is_nothing_to_go_back_to(begin: Begin) -> None:
    session = begin("only words")
    session.step()

    with pytest.raises(SessionError, match="has no kernel"):
        session.back(1)


def test_a_branch_shares_the_history_up_to_its_attempt_and_nothing_after(begin: Begin) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.8, 1.3)))
    session.run(turns=2)

    with session.branch(1) as branch:
        branch.step()

        assert [attempt.speedup for attempt in branch.transcript.attempts] == [1.2, 1.3]
        assert branch.transcript.attempt(2).candidate.parent == 1  # type: ignore[union-attr]
        assert branch.transcript.started.forked_from == f"{session.transcript.started.run}#1"
    assert [attempt.speedup for attempt in session.transcript.attempts] == [1.2, 1.8]
    assert Transcript.read(branch.transcript.folder).attempts[0].reply is not None


def test_a_branch_keeps_the_vetoes_and_hints_that_followed_the_history_it_shares(
    begin: Begin,
) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.8, 1.3, 1.4)))
    session.step(hint="already in the first prompt")
    session.step()
    session.hint("meant for the third turn")
    session.step()
    session.veto(2, "no -ffast-math in this code base")
    session.veto(3, "not shared with the branch")
    session.hint("use half the registers")

    with session.branch(2) as branch:
        assert branch.transcript.attempt(2).veto == "no -ffast-math in this code base"
        assert [hint.text for hint in branch.transcript.hints] == ["use half the registers"]
        assert branch.best is not None
        assert branch.best.number == 1
        events = [e for e in branch.transcript.events if isinstance(e, Vetoed)]
        assert [event.attempt for event in events] == [2]


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_branch_carries_a_waiting_hint_once(begin: Begin, attempt: int) -> None:
    session = begin(kernel(speedup=1.2))
    session.step()
    session.hint("use half the registers")
    session.offer(source(speedup=1.5))

    with session.branch(attempt) as branch:
        assert [hint.text for hint in branch.transcript.hints] == ["use half the registers"]


def test_a_branch_goes_on_with_the_model_and_limits_of_now(begin: Begin) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.8)))
    session.step()
    session.change(model="model-a", turns=20)
    session.step()
    session.change(model="model-b", turns=5, usd=1.0)

    for attempt in (1, 2):
        with session.branch(attempt) as branch:
            assert branch.transcript.model == "model-b"
            assert branch.transcript.options == session.transcript.options
            assert branch.transcript.started.options == session.transcript.started.options


def test_a_kernel_that_the_machine_failed_on_is_not_said_to_be_missing(tmp_path: Path) -> None:
    author, bench = ScriptedAuthor([kernel(speedup=1.4)]), ScriptedBench([BenchFault("no GPU")])
    with Session.start(PROBLEM, runs=tmp_path, author=author, bench=bench) as session:
        with pytest.raises(BenchFault):
            session.step()

        with pytest.raises(SessionError, match="attempt 1 was not judged"):
            session.branch(1)


def test_model_and_limits_can_change_on_the_way_and_are_recorded(begin: Begin) -> None:
    session = begin(*[kernel(speedup=1.2)] * 9, turns=1)
    session.run()

    session.change(turns=3, target=1.5)
    session.run()

    assert session.transcript.model_turns == 3
    read = Transcript.read(session.transcript.folder)
    assert read.options.budget.turns == 3
    assert read.options.budget.target == 1.5
    session.change(target=None)
    assert session.transcript.options.budget == Budget(turns=3, target=None)


def test_lowering_the_target_below_the_best_ends_the_run_without_another_turn(
    begin: Begin,
) -> None:
    session = begin(kernel(speedup=1.4), kernel(speedup=1.1))
    session.step()

    session.change(target=1.3)

    assert session.why_over() is None  # what is not sealed has reached nothing yet
    assert session.run() == ()
    assert session.why_over() == "reached 1.40x, at least 1.39x (target 1.30x)"


def test_a_page_is_measured_once_and_only_of_what_passed(begin: Begin) -> None:
    session = begin(kernel(speedup=1.4), kernel(says="mismatch: last tile"))
    session.run(turns=2)
    bench = session._bench
    assert isinstance(bench, ScriptedBench)

    assert session.profile(1).text() == session.profile(1).text()
    assert len(bench.profiled) == 1
    with pytest.raises(SessionError, match=r"did not pass \(wrong: last tile"):
        session.profile(2)


def test_a_difference_shows_both_verdicts_and_the_sources(begin: Begin) -> None:
    session = begin(kernel(speedup=1.4, idea="first"), kernel(speedup=1.6, idea="second"))
    session.run(turns=2)

    shown = str(session.diff(1, 2))

    assert "attempt 1 (model): 1.40x" in shown
    assert "second" in shown
    assert "-# speedup: 1.4\n+# speedup: 1.6" in shown


def test_nobody_to_answer_is_said_when_the_run_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.endswith("_KEY")]:
        monkeypatch.delenv(name)

    with pytest.raises(SessionError, match="--model"):
        Session.start(PROBLEM, runs=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_a_model_on_it_is_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.endswith("_KEY")]:
        monkeypatch.delenv(name)

    with pytest.raises(SessionError, match="--model openai/NAME"):
        Session.start(PROBLEM, runs=tmp_path, options=Options(api_base="http://127.0.0.1:1/v1"))


# --- the inbox -----------------------------------------------------------------------------------


def test_notes_are_taken_up_in_order_at_the_next_turn_and_are_gone_then(begin: Begin) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.8, 1.1)))
    session.run(turns=2)
    run = session.transcript.folder
    drop(run, Hint(at=time.time(), text="use float4"))
    drop(run, Offer(at=time.time(), source=source(speedup=1.5), idea="mine"))
    drop(run, Veto(at=time.time(), attempt=2, reason="too clever"))
    drop(run, Back(at=time.time(), attempt=1))

    session.step()

    assert "use float4" in asked_last(session)
    assert [attempt.author for attempt in session.transcript.attempts][2] == "engineer"
    assert session.transcript.attempt(2).veto == "too clever"
    assert session.transcript.last(Moved).attempt == 1
    assert list((run / INBOX).glob("*.json")) == []


def test_a_note_whose_file_outlived_a_kill_is_not_done_twice(begin: Begin) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.3)))
    session.step()
    run = session.transcript.folder
    for note in (
        Hint(at=time.time(), text="use float4"),
        Offer(at=time.time(), source=source(speedup=1.5)),
        Veto(at=time.time(), attempt=1, reason="no"),
        Back(at=time.time(), attempt=1),
    ):
        path = drop(run, note)
        content = path.read_bytes()
        session.take_up()
        events = len(session.transcript.events)
        path.write_bytes(content)

        session.take_up()

        assert len(session.transcript.events) == events
        assert not path.exists()


def test_a_note_that_says_what_an_earlier_one_said_is_done_too(begin: Begin) -> None:
    session = begin(*(kernel(speedup=s) for s in (1.2, 1.3, 1.4)))
    session.run(turns=3)
    for attempt in (1, 3, 1):
        drop(session.transcript.folder, Back(at=time.time(), attempt=attempt))

    session.take_up()

    moves = [event.attempt for event in session.transcript.events if isinstance(event, Moved)]
    assert moves == [1, 3, 1]
    assert session.transcript.parent is not None
    assert session.transcript.parent.number == 1


@pytest.mark.parametrize("note", [Veto(at=1.0, attempt=7, reason="why"), None])
def test_a_note_that_nothing_came_of_is_told_once_though_its_file_outlived_a_kill(
    begin: Begin, note: Veto | None
) -> None:
    session = begin()
    path = drop(session.transcript.folder, note or Hint(at=1.0, text="x"))
    content = path.read_bytes() if note is not None else b"no note"
    for _ in range(2):
        path.write_bytes(content)
        session.take_up()

    said = [event for event in session.transcript.events if isinstance(event, Hinted)]
    assert len(said) == 1


def test_the_same_hint_said_later_counts_again(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2), kernel(speedup=1.3))
    for _ in range(2):
        drop(session.transcript.folder, Hint(at=time.time(), text="again"))
        session.step()

    said = [event for event in session.transcript.events if isinstance(event, Hinted)]
    assert len(said) == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 10_000, b'{"note":"unknown","at":1}'])
def test_a_note_that_cannot_be_read_is_told_and_does_not_stop_the_run(
    begin: Begin, content: bytes
) -> None:
    session = begin(kernel(speedup=1.2))
    drop(session.transcript.folder, Hint(at=1.0, text="x")).write_bytes(content)

    session.step()

    assert "could not be read" in session.transcript.last(Hinted).text
    assert session.transcript.attempt(1).speedup == 1.2


def test_a_note_that_cannot_be_done_is_told_and_does_not_stop_the_run(begin: Begin) -> None:
    session = begin(kernel(speedup=1.2))
    drop(session.transcript.folder, Veto(at=time.time(), attempt=7, reason="why"))

    session.step()

    assert "no attempt 7" in session.transcript.last(Hinted).text


def test_a_stop_from_outside_ends_the_run_at_the_next_boundary(begin: Begin) -> None:
    session = begin(*[kernel(speedup=1.2)] * 8)
    session.step()
    drop(session.transcript.folder, Stop(at=time.time()))

    taken = session.run()

    assert len(taken) == 0
    assert isinstance(session.transcript.events[-1], Stopped)
    assert session.transcript.stopped is not None
    assert session.transcript.stopped.resumable


def test_a_run_that_was_stopped_is_saved_unsealed_and_goes_on_when_told_to(begin: Begin) -> None:
    session = begin(*[kernel(speedup=1.2)] * 8, turns=3)
    session.step()
    drop(session.transcript.folder, Stop(at=time.time()))

    session.run()
    assert session.best is not None
    assert session.best.sealed is None

    assert [turn.number for turn in session.run()] == [2, 3]
    assert session.best.sealed is not None
    assert session.transcript.stopped is not None
    assert session.transcript.stopped.reason == "3 of 3 turns taken"


def test_every_save_of_a_watched_file_becomes_one_offer(begin: Begin, tmp_path: Path) -> None:
    session, refused = begin(), list[str]()
    file = tmp_path / "mine.py"
    file.write_text("not yet")
    with Saves(session.transcript.folder, file, read=Path.read_text, refuse=refused.append):
        for speedup in (1.2, 1.6):
            file.write_text(source(speedup=speedup))
            _wait_for(lambda: any(inbox.waiting(session.transcript.folder)))
            session.take_up()
            file.touch()  # saved without a change

    assert [attempt.speedup for attempt in session.transcript.attempts] == [1.2, 1.6]


def test_a_save_that_holds_no_kernel_is_told_and_the_next_save_counts(
    begin: Begin, tmp_path: Path
) -> None:
    session, refused = begin(), list[str]()
    file = tmp_path / "mine.cu"
    file.write_text("// nothing yet\n")
    run = session.transcript.folder
    with Saves(run, file, read=lambda path: read_candidate(path, PROBLEM), refuse=refused.append):
        file.write_text("__global__ void k() {}\n")
        _wait_for(lambda: bool(refused))
        file.write_text("torch::Tensor forward(torch::Tensor x) { return x; }\n")
        _wait_for(lambda: any(inbox.waiting(run)))

    assert "defines no `torch::Tensor forward" in refused[0]


def _wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- kernels in files of their own ---------------------------------------------------------------


def test_a_bare_cuda_file_becomes_a_module_that_calls_its_forward(tmp_path: Path) -> None:
    path = tmp_path / "mine.cu"
    path.write_text(
        "#include <torch/extension.h>\n__global__ void k(float*) {}\n\n"
        "torch::Tensor forward(torch::Tensor x,\n                      torch::Tensor weight) {\n"
        "  return x;\n}\n"
    )

    text = read_candidate(path, Problem(name="p", source="class Model: ..."))

    compile(text, "candidate", "exec")
    assert "class ModelNew(Model)" in text
    assert "torch::Tensor forward(torch::Tensor x, torch::Tensor weight);" in text
    assert "cuda_sources=SOURCE" in text


def test_a_bare_file_without_forward_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "mine.cu"
    path.write_text("__global__ void k(float*) {}\n")

    with pytest.raises(KernelFileError, match="forward"):
        read_candidate(path, PROBLEM)


def test_a_fault_of_the_machine_reaches_the_caller_in_its_own_words(tmp_path: Path) -> None:
    fault = BenchFault("no compiler was found; install g++")
    with (
        Session.start(
            PROBLEM,
            runs=tmp_path,
            author=ScriptedAuthor([kernel(speedup=1.0)]),
            bench=ScriptedBench([fault]),
        ) as session,
        pytest.raises(BenchFault, match="install g"),
    ):
        session.step()


def test_a_run_whose_replies_are_all_there_is_finished_without_anybody_to_answer(
    tmp_path: Path,
) -> None:
    """Copied to a machine with a GPU and without a key, for one."""
    author, bench = ScriptedAuthor([kernel(speedup=1.4)]), ScriptedBench([BenchFault("no GPU")])
    options = Options(budget=Budget(turns=1))
    with (
        Session.start(
            PROBLEM,
            model="nobody/knows-it",
            options=options,
            runs=tmp_path,
            author=author,
            bench=bench,
        ) as first,
        pytest.raises(BenchFault),
    ):
        first.run()

    with Session.open(first.transcript.folder, bench=ScriptedBench()) as second:
        second.run()

    assert second.best is not None
    assert second.best.speedup == 1.4
