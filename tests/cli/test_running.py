"""`optimize` and `resume` as processes: exit codes, signals, lines for people and for programs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from refine_agent.cli.drive import Drive, Look, Outcome, code_of, code_of_verdict, fast_p
from refine_agent.cli.words import standing
from refine_agent.records import Budget, Hinted, Options, Problem, Replied, Suspicion
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, passed, source
from refine_agent.transcript import EVENTS, INBOX, RECORDED, Transcript, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
SMALLEST = """
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return x

def get_inputs():
    return []
"""
PLAY = Path(__file__).with_name("play.py")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(PLAY), *map(str, arguments)]


def plain_environment(**more: str) -> dict[str, str]:
    known = {k: v for k, v in os.environ.items() if not k.endswith("_KEY")}
    return known | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | more


def play(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def started(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        env=plain_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def only_run(runs: Path) -> Transcript:
    (folder,) = runs_in(runs)
    return Transcript.read(folder)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- exit codes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["--turns", "4"], 0, id="a right kernel"),
        pytest.param(["--turns", "6", "--target", "2.0"], 0, id="target reached"),
        pytest.param(["--turns", "4", "--target", "2.0"], 1, id="target missed"),
        pytest.param(["--turns", "0"], 1, id="nothing tried"),
        pytest.param(["--fault", "machine"], 3, id="machine"),
        pytest.param(["--fault", "model"], 4, id="model"),
        pytest.param(["--fault", "no-answer"], 5, id="waits"),
    ],
)
def test_the_exit_code_says_how_the_run_ended(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    assert play(tmp_path, *arguments).returncode == code


@pytest.mark.parametrize(
    ("speedup", "target", "code", "said"),
    [
        (1.005, None, 0, "a draw with PyTorch: the interval holds 1"),
        (1.005, 1.0, 1, "the target of 1.00x is missed"),
        (0.9, None, 0, "slower than PyTorch: the whole interval lies below 1"),
        (1.02, 1.0, 0, None),
    ],
)
def test_a_win_is_required_by_a_target_and_a_draw_is_said_to_be_one(
    tmp_path: Path, speedup: float, target: float | None, code: int, said: str | None
) -> None:
    author = ScriptedAuthor([kernel(speedup=speedup)])
    problem = Problem(name="scale", source=SMALLEST)
    options = Options(budget=Budget(turns=1, target=target))
    with Session.start(
        problem, options=options, runs=tmp_path, author=author, bench=ScriptedBench()
    ) as session:
        session.run()

        assert code_of(session.transcript) == code
        best = session.best
        assert best is not None
        assert best.passed is not None
        text = " ".join(standing(best.passed.speedup, target))
        assert said in text if said is not None else text == ""


def test_a_kernel_on_a_weak_problem_is_no_right_kernel_for_an_exit_code(tmp_path: Path) -> None:
    problem, options = Problem(name="scale", source=SMALLEST), Options(budget=Budget(turns=1))
    author, bench = ScriptedAuthor([kernel(speedup=2.0)]), ScriptedBench()
    with Session.start(
        problem, options=options, runs=tmp_path, author=author, bench=bench
    ) as session:
        session.run()
        best = session.best

    assert best is not None
    assert code_of_verdict(best.sealed, weak=False, target=None) == 0
    assert code_of_verdict(best.sealed, weak=True, target=None) == 1


@pytest.mark.parametrize("fault", ["no-answer", "model", "machine"])
def test_a_run_that_broke_off_goes_on_with_resume(tmp_path: Path, fault: str) -> None:
    broken = play(tmp_path, "--fault", fault)
    (folder,) = runs_in(tmp_path)

    again = play(folder, "--resume")

    assert "Traceback" not in broken.stderr
    assert again.returncode == 0
    run = Transcript.read(folder)
    assert run.model_turns == 4
    assert sum(isinstance(event, Replied) for event in run.events) == 4


# --- signals ---------------------------------------------------------------------------------


def test_the_first_ctrl_c_stops_at_the_end_of_the_turn(tmp_path: Path) -> None:
    process = started(tmp_path, "--slow", "1.0")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    run = only_run(tmp_path)
    assert process.returncode == 130, err
    assert "stopping at the end of this turn" in out
    assert run.model_turns == 1
    assert run.open_turn is None
    assert run.stopped is not None
    assert run.stopped.resumable


def test_the_second_ctrl_c_saves_and_leaves_at_once(tmp_path: Path) -> None:
    process = started(tmp_path, "--slow", "60")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))

    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    run = only_run(tmp_path)
    assert process.returncode == 130, err
    assert run.stopped is not None
    assert run.stopped.reason == "interrupted"
    assert play(run.folder, "--resume").returncode == 0


def test_one_ctrl_c_is_enough_where_a_person_is_waited_for(tmp_path: Path) -> None:
    process = started(tmp_path, "--slow", "60", "--model", "manual")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))
    time.sleep(0.3)

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 130, err
    assert only_run(tmp_path).stopped is not None


def test_who_leaves_does_not_wait_for_samples_that_are_still_being_written(
    tmp_path: Path,
) -> None:
    process = started(tmp_path, "--slow", "60", "--samples", "3")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))
    time.sleep(0.3)

    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 130, err
    assert only_run(tmp_path).stopped is not None


def test_sigterm_saves_and_leaves(tmp_path: Path) -> None:
    process = started(tmp_path, "--slow", "60")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))

    process.terminate()
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130, err
    assert only_run(tmp_path).stopped is not None


# --- the engineer's own kernel, and folders of problems ----------------------------------------


def test_a_run_can_start_from_a_kernel_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source(speedup=1.6))

    done = play(tmp_path / "runs", "--start", str(tmp_path / "mine.py"), "--turns", "2")

    run = only_run(tmp_path / "runs")
    assert done.returncode == 0
    assert [attempt.author for attempt in run.attempts] == ["engineer", "model", "model"]
    assert run.attempts[1].candidate is not None
    assert run.attempts[1].candidate.parent == 1


def test_fast_p_counts_what_is_right_and_more_than_p_times_faster() -> None:
    outcomes = [
        Outcome(problem="a", code=0, speedup=1.6, vs_eager=4.0),
        Outcome(problem="b", code=1, speedup=0.9, vs_eager=1.2),
        Outcome(problem="c", code=1),
        Outcome(problem="d", code=0, speedup=1.1, vs_eager=1.5),
    ]

    over_faster = [fast_p(outcomes, p, over_eager=False) for p in (0, 1, 1.5, 2)]
    over_eager = [fast_p(outcomes, p, over_eager=True) for p in (0, 1, 1.5, 2)]

    assert over_faster == [0.75, 0.5, 0.25, 0.0]
    assert over_eager == [0.75, 0.75, 0.25, 0.25]


def test_a_doubtful_speedup_counts_only_where_it_is_said_to() -> None:
    outcomes = [
        Outcome(problem="a", code=0, speedup=1.6, vs_eager=4.0),
        Outcome(problem="b", code=0, speedup=30.0, vs_eager=40.0, doubtful=True),
    ]

    believed, all_of_them = (
        [fast_p(outcomes, p, over_eager=False, with_doubtful=doubtful) for p in (0, 1, 2)]
        for doubtful in (False, True)
    )

    assert believed == [0.5, 0.5, 0.0]
    assert all_of_them == [1.0, 1.0, 0.5]


def test_the_table_of_a_folder_marks_what_is_doubtful_and_what_was_not_begun(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcomes = [
        Outcome(problem="a", code=0, speedup=1.6, vs_eager=4.0),
        Outcome(problem="b", code=130, speedup=30.0, vs_eager=40.0, doubtful=True),
    ]

    Look(as_json=True).summary(outcomes, problems=4)

    out, err = capsys.readouterr()
    event = json.loads(out)
    assert (event["problems"], event["begun"]) == (4, 2)
    assert [row["doubtful"] for row in event["rows"]] == [False, True]
    shares = [(s["over"], s["with_doubtful"], s["fast_p"]["1.0"]) for s in event["shares"]]
    assert shares == [
        ("the faster baseline", False, 0.25),
        ("eager", False, 0.25),
        ("the faster baseline", True, 0.5),
        ("eager", True, 0.5),
    ]
    shown = [" ".join(line.split()) for line in err.splitlines()]
    assert "a 1.60x 4.00x" in shown
    assert "b 30.00x ? 40.00x ?" in shown
    assert "fast_p of 4 problems, 2 of them begun p = 0 p = 1 p = 1.5 p = 2" in shown
    assert "over eager 0.25 0.25 0.25 0.25" in shown
    assert "over eager, the doubtful (?) counted 0.50 0.50 0.50 0.50" in shown


@pytest.mark.parametrize("doubts", [(), (Suspicion(kind="too fast", evidence="floor 80 µs"),)])
def test_what_a_run_came_to_carries_its_doubts(
    tmp_path: Path, doubts: tuple[Suspicion, ...]
) -> None:
    verdict = replace(passed(30.0), suspicions=doubts)
    with Session.start(
        Problem(name="scale", source=SMALLEST),
        options=Options(budget=Budget(turns=1)),
        runs=tmp_path,
        author=ScriptedAuthor([kernel(speedup=30.0)]),
        bench=ScriptedBench([verdict]),
    ) as session:
        outcome = Drive(session, Look(as_json=False), pair=False, saves=None).run()

    assert outcome.speedup == 30.0
    assert outcome.doubtful is bool(doubts)


def test_a_folder_ends_with_a_table_even_where_nobody_can_answer(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(SMALLEST)

    done = refine_agent("optimize", tmp_path, "--runs", tmp_path / "runs")

    assert done.returncode == 2
    assert "fast_p of 2 problems" in done.stdout
    assert done.stdout.count("--model") >= 2
    assert not (tmp_path / "runs").exists()


def test_a_broken_problem_of_a_folder_is_named_and_counts_as_unsolved(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(SMALLEST)
    (tmp_path / "b.py").write_text(SMALLEST.replace("(self, x):", "(self, x:"))
    (tmp_path / "c.py").write_text(SMALLEST.replace("Model(torch.nn.Module)", "Net"))

    done = refine_agent("optimize", tmp_path, "--runs", tmp_path / "runs")

    assert done.returncode == 2
    assert "fast_p of 3 problems" in done.stdout
    assert re.search(r"b\.py:\d+: .*does not parse", done.stdout)
    assert re.search(r"^b +none passed", done.stdout, re.MULTILINE)


# --- what people read ------------------------------------------------------------------------


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    out = play(tmp_path, "--turns", "4").stdout

    assert "\x1b" not in out
    assert "1.20x" in out
    assert "unreadable: there is no fenced" in out
    assert "does not build" in out
    assert "rows in registers" in out
    assert "1.80x [1.78 to 1.82] over torch.compile (800.0 µs), the faster baseline" in out
    assert "over eager" in out
    assert str(tmp_path) in out
    assert "sealed   yes" in out
    assert re.search(r"^go on +python -m refine_agent resume \S+ --turns 8$", out, re.MULTILINE)


def test_the_first_line_says_when_answers_come_from_a_recording(tmp_path: Path) -> None:
    first = play(tmp_path, "--model", "recorded:scale").stdout.splitlines()[0]

    assert first.startswith("answers come from a recorded session")


# --- what programs read ----------------------------------------------------------------------


def test_json_puts_events_alone_on_stdout_and_people_on_stderr(tmp_path: Path) -> None:
    done = play(tmp_path, "--json", "--turns", "4")

    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started"
    assert kinds.count("turn") == 4
    assert "phase" in kinds
    assert kinds[-1] == "result"
    assert events[-1]["exit_code"] == 0
    assert events[-1]["run"]["speedup"] == 1.8
    assert "1.80x" in done.stderr


def test_a_run_whose_reader_leaves_is_saved_and_goes_on_with_resume(tmp_path: Path) -> None:
    process = started(tmp_path, "--json", "--slow", "0.3")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 130

    run = only_run(tmp_path)
    again = play(run.folder, "--resume")

    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert run.stopped is not None
    assert run.stopped.reason == "nobody reads its output any more"
    assert again.returncode == 0
    process.stderr.close()


# --- from outside ----------------------------------------------------------------------------


def refine_agent(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "refine_agent", *map(str, arguments)],
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_hint_from_another_process_reaches_the_next_prompt(tmp_path: Path) -> None:
    process = started(tmp_path, "--slow", "1.5", "--turns", "2")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))
    (folder,) = runs_in(tmp_path)

    hinted = refine_agent("hint", folder, "use float4")
    process.communicate(timeout=30)

    run = Transcript.read(folder)
    assert hinted.returncode == 0
    assert "once turn 1 is over; the prompt of turn 1 is out already" in hinted.stdout
    assert [e.text for e in run.events if isinstance(e, Hinted)] == ["use float4"]
    prompt = run.turns[1].prompt
    assert prompt is not None
    assert "use float4" in "".join(message.content for message in prompt.messages)


def test_a_second_writer_is_refused_politely_and_the_first_is_not_disturbed(
    tmp_path: Path,
) -> None:
    process = started(tmp_path, "--slow", "2", "--turns", "1")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))
    (folder,) = runs_in(tmp_path)

    second = refine_agent("resume", folder)
    process.communicate(timeout=30)

    assert second.returncode == 2
    assert "another process is writing" in second.stderr
    assert "Traceback" not in second.stderr
    assert process.returncode == 0


def test_a_stop_from_another_process_ends_the_run_at_its_boundary(tmp_path: Path) -> None:
    process = started(tmp_path, "--slow", "1", "--turns", "4")
    until(lambda: bool(runs_in(tmp_path)) and bool(only_run(tmp_path).turns))
    (folder,) = runs_in(tmp_path)

    refine_agent("hint", folder, "--stop")
    process.communicate(timeout=30)

    assert process.returncode == 130
    assert Transcript.read(folder).model_turns < 4


def test_every_save_of_a_watched_file_is_a_turn_of_the_engineers(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("# nothing yet\n")
    runs = tmp_path / "runs"
    process = started(runs, "--turns", "0", "--watch", file)
    until(lambda: bool(runs_in(runs)))
    time.sleep(0.5)
    for number, speedup in enumerate((1.3, 1.6), 1):
        file.write_text(source(speedup=speedup))
        until(lambda number=number: len(only_run(runs).attempts) >= number)  # type: ignore[misc]

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert process.returncode == 130
    assert [(a.author, a.speedup) for a in only_run(runs).attempts] == [
        ("engineer", 1.3),
        ("engineer", 1.6),
    ]


def test_a_hint_to_a_run_that_waits_is_in_the_prompt_it_is_resumed_with(tmp_path: Path) -> None:
    assert play(tmp_path, "--fault", "no-answer", "--turns", "4").returncode == 5
    (folder,) = runs_in(tmp_path)

    hinted = refine_agent("hint", folder, "use float4")
    play(folder, "--resume", "--turns", "4")

    assert (
        f"is not running and takes it up first when it goes on: refine_agent resume {folder}"
        in (hinted.stdout.replace("\n", " "))
    )
    asked = [turn.prompt for turn in Transcript.read(folder).turns]
    told = ["use float4" in p.messages[-1].content for p in asked if p is not None]
    assert told == [False, False, True, False]


def test_a_hint_to_a_run_that_is_over_says_how_to_go_on(tmp_path: Path) -> None:
    play(tmp_path, "--turns", "1")
    (folder,) = runs_in(tmp_path)

    said = refine_agent("hint", folder, "use float4").stdout

    assert "is over (1 of 1 turns taken)" in said
    assert f"refine_agent resume {folder} --turns 5" in said


@pytest.mark.parametrize("how", ["softmax", "softmax-h200", str(RECORDED / "softmax-h200")])
@pytest.mark.parametrize("command", [["resume"], ["hint"]])
def test_what_writes_leaves_the_runs_that_ship_alone(
    tmp_path: Path, command: list[str], how: str
) -> None:
    shipped = RECORDED / "softmax-h200"
    before = sorted(shipped.rglob("*")), (shipped / EVENTS).read_bytes()
    said = ["use float4"] if command == ["hint"] else []

    done = refine_agent(*command, how, *said, "--runs", tmp_path)

    assert done.returncode == 2
    assert "softmax-h200 ships with refine_agent and stays as it is; copy its folder" in done.stderr
    assert (sorted(shipped.rglob("*")), (shipped / EVENTS).read_bytes()) == before


def test_a_beginning_of_a_name_means_ones_own_run_before_one_that_ships(tmp_path: Path) -> None:
    play(tmp_path, "--turns", "1")
    (folder,) = runs_in(tmp_path)
    folder.rename(tmp_path / "softmax-mine")

    hinted = refine_agent("hint", "softmax", "use float4", "--runs", tmp_path)

    assert hinted.returncode == 0
    assert len(list((tmp_path / "softmax-mine" / INBOX).glob("*.json"))) == 1


# --- what is refused before a run begins ------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "recorded:zzz"], "there is no recorded run 'zzz'"),
        (["--model", "script:"], "script: names no folder"),
        (["--device", "gpu"], "'gpu' is no device; say cpu, cuda or cuda:N"),
    ],
    ids=["recording", "folder", "device"],
)
def test_what_nobody_can_answer_or_run_leaves_no_run_behind(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "small.py").write_text(SMALLEST)

    done = refine_agent("optimize", tmp_path / "small.py", "--runs", tmp_path / "runs", *arguments)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_no_kernel_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    problem, missing = tmp_path / "small.py", tmp_path / "missing.py"
    problem.write_text(SMALLEST)

    same = refine_agent("evaluate", problem, problem)
    none = refine_agent("evaluate", problem, missing)

    assert (same.returncode, none.returncode) == (2, 2)
    assert "defines no class ModelNew" in same.stderr
    assert f"there is no file {missing}" in none.stderr
    assert same.stdout == none.stdout == ""
