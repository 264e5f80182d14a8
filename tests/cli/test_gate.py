"""The gate of --pair, driven through a pseudo-terminal as an engineer would."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from refine_agent.records import Hinted, Moved
from refine_agent.standins import source
from refine_agent.transcript import Transcript, runs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Open = Callable[..., "pexpect.spawn[str]"]

ROOT = Path(__file__).parents[2]
PLAY = Path(__file__).with_name("play.py")
ASKS = r"help.* > $"


@pytest.fixture
def open_gate(tmp_path: Path) -> Iterator[Open]:
    spawned: list[Any] = []

    def open_gate(*arguments: str, **environment: str) -> Any:
        child = pexpect.spawn(
            sys.executable,
            [str(PLAY), str(tmp_path / "runs"), "--pair", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment},
            encoding="utf-8",
            timeout=20,
            dimensions=(40, 140),
        )
        spawned.append(child)
        child.expect(ASKS)
        return child

    yield open_gate
    for child in spawned:
        child.close(force=True)


def say(child: Any, line: str) -> str:
    """Type a line and return what is shown until the gate asks again."""
    child.sendline(line)
    child.expect(ASKS)
    return str(child.before)


def run_of(tmp_path: Path) -> Transcript:
    return Transcript.read(runs_in(tmp_path / "runs")[0])


def test_enter_goes_on_and_q_saves_and_leaves(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate()

    say(gate, "")
    gate.sendline("q")
    gate.expect(pexpect.EOF)
    gate.close()

    assert gate.exitstatus == 130
    assert run_of(tmp_path).model_turns == 2
    assert run_of(tmp_path).stopped is not None


def test_hint_veto_and_back_land_in_the_run(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate()

    say(gate, "h use float4")
    say(gate, "v 1 it reads the clock")
    say(gate, "b 1")

    run = run_of(tmp_path)
    assert [event.text for event in run.events if isinstance(event, Hinted)] == ["use float4"]
    assert run.attempt(1).veto == "it reads the clock"
    assert run.last(Moved).attempt == 1


def test_an_editor_makes_the_engineers_own_turn(open_gate: Open, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nsed -i \'s/1.2/1.7/\' "$1"\nsleep 1.1; touch "$1"\n')
    editor.chmod(0o755)
    gate = open_gate(EDITOR=str(editor), VISUAL="")

    shown = say(gate, "e 1")

    assert "1.70x" in shown
    mine = run_of(tmp_path).attempt(2)
    assert (mine.author, mine.speedup) == ("engineer", 1.7)


def test_a_file_can_be_offered(open_gate: Open, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source(speedup=1.9))
    gate = open_gate()

    shown = say(gate, f"o {tmp_path / 'mine.py'}")

    assert "1.90x" in shown


def test_a_fork_goes_on_in_a_run_of_its_own(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate()
    say(gate, "")

    say(gate, "f 1")
    gate.sendline("q")
    gate.expect(pexpect.EOF)

    first, fork = (Transcript.read(folder) for folder in runs_in(tmp_path / "runs"))
    assert fork.started.forked_from == f"{first.started.run}#1"
    assert first.stopped is not None
    assert "branched" in first.stopped.reason


def test_page_and_difference_are_shown(open_gate: Open) -> None:
    gate = open_gate("--turns", "4")
    for _ in range(3):
        say(gate, "")

    assert "666.7" in say(gate, "p 1")
    assert "+# speedup: 1.8" in say(gate, "d 1 4")


def test_another_target_or_model_is_confirmed(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate()

    assert "the target is 1.50x now" in say(gate, "t 1.5")
    assert "from the next turn on script:answers answers" in say(gate, "m script:answers")

    run = run_of(tmp_path)
    assert run.options.budget.target == 1.5
    assert run.model == "script:answers"


def test_auto_takes_turns_without_asking_and_adds_them_to_the_budget(
    open_gate: Open, tmp_path: Path
) -> None:
    gate = open_gate("--turns", "2")

    say(gate, "a 3")

    assert run_of(tmp_path).model_turns == 4
    assert run_of(tmp_path).options.budget.turns == 4


def test_auto_alone_takes_all_turns_that_are_left(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate("--turns", "3")

    assert "3 of 3 turns taken" in say(gate, "a") + gate.after

    assert run_of(tmp_path).model_turns == 3


@pytest.mark.parametrize("rest", ["2 turns", "two", "-1", "0", "²"])
def test_auto_for_what_is_no_number_of_turns_takes_none(
    open_gate: Open, tmp_path: Path, rest: str
) -> None:
    gate = open_gate()

    shown = say(gate, f"a {rest}")

    assert "is not a number of turns; write a 3, or a alone for all that are left" in shown
    assert run_of(tmp_path).model_turns == 1


def test_what_cannot_be_done_is_said_and_asked_again(open_gate: Open) -> None:
    gate = open_gate()

    assert "no attempt 9" in say(gate, "v 9 why")
    assert "needs a reason" in say(gate, "v 1")
    assert "no choice" in say(gate, "x")
    assert "there is no file" in say(gate, "o /nowhere/at/all.py")
    assert "not a speedup" in say(gate, "t fast")
    assert "is not the number of an attempt" in say(gate, "p ²")
    assert "veto attempt N" in say(gate, "?")


def test_kill_9_in_the_gate_loses_nothing(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate()
    say(gate, "h use float4")

    gate.kill(signal.SIGKILL)
    gate.wait()

    run = run_of(tmp_path)
    assert run.damaged == []
    assert run.model_turns == 1
    assert [hint.text for hint in run.hints] == ["use float4"]


def test_ctrl_c_in_the_gate_saves_and_leaves(open_gate: Open, tmp_path: Path) -> None:
    gate = open_gate()

    gate.sendintr()
    gate.expect(pexpect.EOF)
    gate.close()

    assert gate.exitstatus == 130
    assert run_of(tmp_path).stopped is not None


def test_a_save_while_the_gate_waits_is_judged_at_once(open_gate: Open, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("# nothing yet\n")
    gate = open_gate("--watch", str(file))

    file.write_text(source(speedup=1.6))
    gate.expect("1.60x")
    gate.expect(ASKS)

    assert run_of(tmp_path).attempt(2).author == "engineer"
