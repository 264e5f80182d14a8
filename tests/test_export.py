"""What leaves a run: a winner that stands alone, and examples with their rewards."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from refine_agent.export import ExportError, discounted, examples, winner
from refine_agent.records import Budget, Options, Problem
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, source

if TYPE_CHECKING:
    from pathlib import Path


def played(tmp_path: Path, *replies: str) -> Session:
    session = Session.start(
        Problem(name="scale", source="class Model: ...\n"),
        options=Options(budget=Budget(turns=len(replies))),
        runs=tmp_path,
        author=ScriptedAuthor(replies),
        bench=ScriptedBench(),
    )
    session.run()
    return session


def test_the_winner_is_a_module_that_imports_nothing_of_ours(tmp_path: Path) -> None:
    with played(tmp_path, kernel(speedup=1.2), kernel(speedup=1.8, idea="registers")) as session:
        text = winner(session.transcript)

    tree = ast.parse(text)
    assert "refine_agent" not in "".join(ast.unparse(node) for node in tree.body)
    assert "ModelNew" in text
    assert "1.80 times faster [1.78 to 1.82]" in text
    assert "median of 100" in text
    assert "scripted device" in text
    assert "sealed" in text


def test_evidence_cannot_be_made_to_run(tmp_path: Path) -> None:
    idea = "fast\rimport os\u2028os.abort()\x0cprint('hi')"
    with played(tmp_path, kernel(speedup=1.2)) as session:
        session.offer(source(speedup=1.8), idea=idea)
        text = winner(session.transcript)

    (only,) = ast.parse(text).body
    assert isinstance(only, ast.ClassDef)


def test_a_run_without_a_winner_says_so(tmp_path: Path) -> None:
    with played(tmp_path, "only words") as session, pytest.raises(ExportError, match="no kernel"):
        winner(session.transcript)


def test_rewards_are_kevins(tmp_path: Path) -> None:
    """0.3 for a right kernel plus its speedup; later turns count 0.4, 0.16, … of theirs."""
    with played(tmp_path, kernel(speedup=1.0), "only words", kernel(speedup=2.0)) as session:
        found = list(examples(session.transcript))

    assert [each.reward.score for each in found] == [1.3, 0.0, 2.3]
    assert found[0].reward.discounted == pytest.approx(1.3 + 0.4 * 0.0 + 0.16 * 2.3)
    assert found[1].reward.discounted == pytest.approx(0.4 * 2.3)
    assert found[2].reward.discounted == 2.3
    assert [each.reward.correct for each in found] == [True, False, True]


def test_a_later_turn_counts_by_its_best_sample() -> None:
    assert discounted([1.0, 1.0]) == pytest.approx(0.4 + 0.16)
    assert discounted([]) == 0.0


def test_an_example_is_the_chat_that_was_held(tmp_path: Path) -> None:
    with played(tmp_path, kernel(speedup=1.5)) as session:
        (example,) = examples(session.transcript)

    chat = json.loads(msgspec.json.encode(example))["messages"]
    assert [message["role"] for message in chat][-1] == "assistant"
    assert chat[0]["role"] == "system"
    assert "# speedup: 1.5" in chat[-1]["content"]


def test_what_the_engineer_offered_is_no_example_of_a_models_reply(tmp_path: Path) -> None:
    with played(tmp_path, kernel(speedup=1.5)) as session:
        session.offer(source(speedup=3.0))
        found = list(examples(session.transcript))

    assert len(found) == 1
