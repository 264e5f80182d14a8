"""Authors in the loop: a run over the wire, its replay, and a run that waits for its answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from refine_agent.author import open_author
from refine_agent.loop import NoAnswer, refine, spent
from refine_agent.records import Budget, Options, Problem, Started
from refine_agent.session import Session
from refine_agent.standins import ScriptedBench, kernel
from refine_agent.transcript import SCHEMA, Transcript
from tests.author.server import Answer, Server

if TYPE_CHECKING:
    from pathlib import Path

BUSY = Answer(status=429, error="slow down", headers={"Retry-After": "0"})
PROBLEM = Problem(name="scale", source="class Model: ...\n")
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning")


def begin(folder: Path, model: str, budget: Budget | None = None, **options: object) -> Transcript:
    return Transcript.create(
        folder,
        Started(
            at=0,
            schema=SCHEMA,
            run=folder.name,
            problem=PROBLEM,
            model=model,
            options=Options(budget=budget or Budget(turns=3), **options),  # type: ignore[arg-type]
            templates={},
            version="0",
        ),
    )


def play(run: Transcript) -> None:
    author = open_author(run.model, options=run.options, transcript=run)
    for _turn in refine(run, author, ScriptedBench()):
        pass


def says(text: str) -> Answer:
    return Answer(pieces=(text,), usage={"prompt_tokens": 9, "completion_tokens": 5})


def test_a_run_over_the_wire_replays_without_a_word(tmp_path: Path) -> None:
    replies = [kernel(speedup=1.1), kernel(says="does not build"), "no block", kernel(speedup=2.0)]
    with Server(BUSY, *(says(text) for text in replies)) as server:
        live = begin(tmp_path / "live", "served", api_base=server.api_base)
        play(live)
    assert len(server.requests) == 4
    assert [attempt.speedup for attempt in live.attempts] == [1.1, 0.0, 0.0]
    replay = begin(tmp_path / "replay", f"recorded:{tmp_path / 'live'}")
    play(replay)
    for before, now in zip(live.attempts, replay.attempts, strict=True):
        assert before.reply is not None
        assert now.reply is not None
        assert now.reply.text == before.reply.text
        assert now.reply.note == before.reply.note
        assert now.verdict == before.verdict


def test_a_limit_on_money_is_kept_once_the_price_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFINE_AGENT_PRICING", raising=False)
    with Server(says(kernel(speedup=1.1))) as server:
        limit = Budget(turns=9, usd=0.25)
        run = begin(tmp_path / "run", "served", limit, api_base=server.api_base)
        with run:
            play(run)
        why = spent(run)
        assert len(server.requests) == 1
        assert why is not None
        assert "the price of openai/served is unknown" in why
        # As the sentence says: 9 tokens read and 5 written are then 0.102 dollars a reply.
        prices = re.search(r"REFINE_AGENT_PRICING='(.*)', then resume", why)
        assert prices is not None
        given = prices[1].replace("3.0", "3000").replace("15.0", "15000")
        monkeypatch.setenv("REFINE_AGENT_PRICING", given)
        with Session.open(tmp_path / "run", bench=ScriptedBench()) as session:
            session.run()
        assert len(server.requests) == 4
    assert session.transcript.stopped is not None
    assert session.transcript.stopped.reason == "$0.31 of $0.25 spent"


def test_samples_come_side_by_side_and_replay_in_order(tmp_path: Path) -> None:
    answers = [says(kernel(speedup=1 + number / 10)) for number in range(6)]
    with Server(*answers) as server:
        live = begin(tmp_path / "live", "served", api_base=server.api_base, samples=2)
        play(live)
    assert len(server.requests) == len(live.attempts) == 6
    replay = begin(tmp_path / "replay", f"recorded:{tmp_path / 'live'}", samples=2)
    play(replay)
    assert [a.speedup for a in replay.attempts] == [a.speedup for a in live.attempts]


def test_a_run_waits_for_its_files_and_goes_on_elsewhere(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    model = f"script:{answers}"
    with begin(tmp_path / "run", model) as run, pytest.raises(NoAnswer):
        play(run)
    for turn in (1, 2, 3):
        assert (answers / f"prompt_{turn}.md").exists()
        (answers / f"turn_{turn}.md").write_text(kernel(speedup=turn))
        with Transcript.open(tmp_path / "run") as run:
            if turn < 3:
                with pytest.raises(NoAnswer, match=f"turn_{turn + 1}"):
                    play(run)
            else:
                play(run)
    assert [a.speedup for a in Transcript.read(tmp_path / "run").attempts] == [1.0, 2.0, 3.0]
