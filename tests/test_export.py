"""What leaves a run: a winner that stands alone, and examples with their rewards."""

from __future__ import annotations

import ast
import json
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pytest

from refine_agent.export import ExportError, discounted, examples, winner
from refine_agent.records import Budget, Options, Problem
from refine_agent.session import Session
from refine_agent.standins import ScriptedAuthor, ScriptedBench, kernel, source
from refine_agent.transcript import BLOBS, Transcript
from tests import synthetic

if TYPE_CHECKING:
    from pathlib import Path


def played(tmp_path: Path, *replies: str, problem: str = "class Model: ...\n") -> Session:
    session = Session.start(
        Problem(name="scale", source=problem),
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


def test_the_winner_names_the_machine_it_was_measured_on(tmp_path: Path) -> None:
    text = winner(synthetic.moved(tmp_path / "run"))

    assert "# device NVIDIA H200, driver 580.159.04" in text
    assert "# torch 2.11.0+cu130, compiler nvcc 13.0" in text
    assert "TF32 is allowed in float32 convolutions" in text
    assert synthetic.OTHER_DEVICE not in text


def test_a_run_without_a_winner_says_so(tmp_path: Path) -> None:
    with played(tmp_path, "only words") as session, pytest.raises(ExportError, match="no kernel"):
        winner(session.transcript)


@pytest.mark.parametrize("what", ["the kernel of attempt 1", "the problem"])
def test_a_winner_whose_text_is_not_there_is_not_handed_out(tmp_path: Path, what: str) -> None:
    problem = "class Model: ...\n" + "# of many words\n" * 200
    with played(tmp_path, kernel(speedup=1.8, note="x" * 3000), problem=problem) as session:
        assert session.best is not None
        assert session.best.candidate is not None
        text = problem if what == "the problem" else session.best.candidate.source
        folder = session.transcript.folder
    name = lost(folder, text)

    with pytest.raises(ExportError, match=rf"{what} is not readable: blob {name[:12]}"):
        winner(Transcript.read(folder))


def test_a_reply_that_is_not_there_is_no_example(tmp_path: Path) -> None:
    reply = kernel(speedup=1.8, note="x" * 3000)
    with played(tmp_path, reply) as session:
        folder = session.transcript.folder
    name = lost(folder, reply)

    with pytest.raises(ExportError, match=rf"turn 1 is not readable: blob {name[:12]}"):
        list(examples(Transcript.read(folder)))


def lost(run: Path, text: str) -> str:
    name = sha256(text.encode()).hexdigest()
    (run / BLOBS / name[:2] / name[2:]).unlink()
    return name


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
