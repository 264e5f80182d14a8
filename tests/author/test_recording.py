"""Replaying a recorded run: its replies in order, and where the present run leaves its path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from refine_agent import prompts
from refine_agent.author import AuthorFault, default_model, open_author, recording, why_no_model
from refine_agent.author.choice import PROVIDERS
from refine_agent.loop import NoAnswer
from refine_agent.records import Options, Problem
from tests.prompts import sessions

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.loop import Author
    from refine_agent.records import Prompt, Reply
    from refine_agent.transcript import Transcript


class Looking:
    """A watch that remembers what it was shown."""

    def __init__(self) -> None:
        self.shown = ""

    def phase(self, name: str) -> None:
        """Ignore the phase."""

    def text(self, piece: str) -> None:
        self.shown += piece


def two_turns(folder: Path, *, factor: float = 1.0, hint: str | None = None) -> Transcript:
    """Write a run of two turns, on a machine so many times slower."""
    book = sessions.Book(folder, setup=sessions.setup(factor=factor))
    for number in (1, 2):
        if hint is not None:
            book.hinted(hint)
        turn = book.prompted(prompts.render(book.run))
        attempt = book.replied(turn, f"reply {number}", cost_usd=0.5, thrown_away=number)
        of = sessions.source(f"kernel {number}")
        book.judged(attempt, sessions.passed(100.0 - number, factor), of=of)
        book.closed(turn)
    return book.run


def replayed(recorded: Path, run: Transcript | None = None) -> Author:
    return open_author(f"recorded:{recorded}", options=Options(), transcript=run)


def ask(author: Author, prompt: Prompt, attempt: int) -> Reply:
    return author.ask(prompt, attempt=attempt, watch=Looking())


def prompt_of(run: Transcript, turn: int) -> Prompt:
    prompt = run.prompt_of(turn)
    assert prompt is not None
    return prompt


def test_replies_come_in_order_and_cost_nothing_again(tmp_path: Path) -> None:
    recorded = two_turns(tmp_path / "recorded")
    author = replayed(tmp_path / "recorded")
    watch = Looking()
    first = author.ask(prompt_of(recorded, 1), attempt=1, watch=watch)
    second = author.ask(prompt_of(recorded, 2), attempt=2, watch=watch)
    assert [first.text, second.text] == ["reply 1", "reply 2"]
    assert watch.shown == "reply 1reply 2"
    assert first.cost_usd == 0.0
    assert [first.thrown_away, second.thrown_away] == [1, 2]
    assert first.note is second.note is None


def test_another_machine_of_the_kind_is_no_divergence(tmp_path: Path) -> None:
    two_turns(tmp_path / "recorded")
    here = two_turns(tmp_path / "here", factor=1.7)
    author = replayed(tmp_path / "recorded")
    for turn in (1, 2):
        assert ask(author, prompt_of(here, turn), turn).note is None


def test_a_divergence_is_told_with_its_first_line_and_stops_nothing(tmp_path: Path) -> None:
    two_turns(tmp_path / "recorded", hint="Use one warp per row.")
    here = two_turns(tmp_path / "here", hint="Use two warps per row.")
    author = replayed(tmp_path / "recorded")
    first = ask(author, prompt_of(here, 1), 1)
    assert first.text == "reply 1"
    assert first.note == (
        "the prompt differs from the recorded one: “> Use two warps per row.” "
        "in place of “> Use one warp per row.”"
    )
    assert ask(author, prompt_of(here, 2), 2).note == (
        "the prompt differs from the recorded one only where it did before"
    )


def test_a_recording_of_another_problem_is_told_to_be_one(tmp_path: Path) -> None:
    two_turns(tmp_path / "recorded")
    other = Problem(name="other", source=sessions.REFERENCE + "# changed\n")
    here = sessions.Book(tmp_path / "here", setup=sessions.setup(), problem=other).run
    author = replayed(tmp_path / "recorded", here)
    assert ask(author, prompts.render(here), 1).note == (
        "the recording is of another problem, softmax: its answers are not to this one"
    )


def test_what_is_added_and_what_is_missing_is_told(tmp_path: Path) -> None:
    plain = two_turns(tmp_path / "plain")
    hinted = two_turns(tmp_path / "hinted", hint="Use TMA.")
    added = ask(replayed(tmp_path / "plain"), prompt_of(hinted, 1), 1).note
    assert added is not None
    assert "it adds “## From the engineer at your side”" in added
    lacking = ask(replayed(tmp_path / "hinted"), prompt_of(plain, 1), 1).note
    assert lacking is not None
    assert "it lacks “## From the engineer at your side”" in lacking


def test_a_reply_names_the_prompt_it_was_written_for(tmp_path: Path) -> None:
    book = sessions.Book(tmp_path / "recorded", setup=sessions.setup())
    prompt = prompts.render(book.run)
    turn = book.prompted(prompt)
    book.replied(turn, "yes", answers=prompt.digest)
    book.closed(turn)
    here = prompts.render(sessions.first(tmp_path / "here", factor=2.0))
    assert ask(replayed(tmp_path / "recorded"), here, 1).answers == prompt.digest


def test_a_recording_that_runs_out_says_how_to_go_on(tmp_path: Path) -> None:
    recorded = two_turns(tmp_path / "recorded")
    with pytest.raises(NoAnswer, match=r"holds 2 replies .* --model NAME"):
        ask(replayed(tmp_path / "recorded"), prompt_of(recorded, 2), 3)


def test_the_engineers_own_kernels_take_no_reply(tmp_path: Path) -> None:
    two_turns(tmp_path / "recorded")
    book = sessions.Book(tmp_path / "here", setup=sessions.setup())
    offer = book.offered(sessions.source("mine"), "mine")
    book.judged(offer, sessions.passed(90.0), of=sessions.source("mine"))
    book.closed(1)
    author = replayed(tmp_path / "recorded", book.run)
    assert ask(author, prompts.render(book.run), 2).text == "reply 1"


def test_a_recording_that_is_not_there_is_named() -> None:
    with pytest.raises(AuthorFault, match=r"no recorded run 'gone'.*among those that ship"):
        open_author("recorded:gone", options=Options())


# --- who answers when nobody was named -----------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for provider in PROVIDERS:
        monkeypatch.delenv(provider.variable, raising=False)
    monkeypatch.delenv("REFINE_AGENT_MODEL", raising=False)
    monkeypatch.setattr(recording, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr("refine_agent.author.choice.SHIPPED", tmp_path / "shipped")


def test_a_shipped_recording_is_found_by_its_name(tmp_path: Path) -> None:
    recorded = two_turns(tmp_path / "shipped" / "softmax-gpu")
    author = open_author("recorded:softmax-gpu", options=Options())
    assert ask(author, prompt_of(recorded, 1), 1).text == "reply 1"


def test_without_a_key_a_recording_of_this_problem_and_device_answers(tmp_path: Path) -> None:
    sessions.first(tmp_path / "shipped" / "softmax-cpu", kind="cpu")
    sessions.first(tmp_path / "shipped" / "softmax-gpu", kind="cuda")
    assert default_model(sessions.PROBLEM, device="cpu") == "recorded:softmax-cpu"
    assert default_model(sessions.PROBLEM, device="cuda:1") == "recorded:softmax-gpu"


def test_a_recording_of_another_problem_answers_nothing(tmp_path: Path) -> None:
    sessions.first(tmp_path / "shipped" / "softmax-cpu", kind="cpu")
    other = Problem(name="softmax", source=sessions.REFERENCE + "# changed\n")
    assert default_model(other, device="cpu") is None
    said = why_no_model(other, device="cpu")
    for word in ("'softmax'", "ANTHROPIC_API_KEY", "--model", "--api-base", "--model manual"):
        assert word in said
    assert said.count("\n") == 0


def test_a_key_at_hand_goes_before_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.first(tmp_path / "shipped" / "softmax-cpu", kind="cpu")
    monkeypatch.setenv("GEMINI_API_KEY", "x" * 20)
    chosen = default_model(sessions.PROBLEM, device="cpu")
    assert chosen is not None
    assert chosen.startswith("gemini/")


def test_a_model_named_in_the_environment_goes_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x" * 20)
    monkeypatch.setenv("REFINE_AGENT_MODEL", "ollama/qwen3")
    assert default_model(sessions.PROBLEM) == "ollama/qwen3"


def test_every_default_model_is_one_litellm_has_a_price_for() -> None:
    from refine_agent.author.door import litellm  # noqa: PLC0415 - takes seconds

    for provider in PROVIDERS:
        listed = litellm.get_model_info(provider.model)
        assert listed["key"] in litellm.model_cost, provider.model
        assert listed["output_cost_per_token"], provider.model
        missing = litellm.validate_environment(provider.model)["missing_keys"]
        assert provider.variable in missing


def test_reading_replies_needs_no_litellm(tmp_path: Path) -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    two_turns(tmp_path / "recorded")
    code = (
        "import sys; from refine_agent.author import open_author, default_model; "
        "from refine_agent.records import Options; "
        f"open_author('recorded:{tmp_path / 'recorded'}', options=Options()); "
        "print({'litellm', 'torch', 'jinja2', 'tenacity'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_a_changed_template_is_a_divergence(tmp_path: Path) -> None:
    recorded = two_turns(tmp_path / "recorded")
    asked = prompt_of(recorded, 1)
    system = asked.messages[0]
    reworded = replace(system, content=system.content.replace("honest play", "fair play"))
    note = ask(
        replayed(tmp_path / "recorded"), prompts.prompt_of((reworded, *asked.messages[1:])), 1
    ).note
    assert note is not None
    assert "“# Rules of fair play” in place of “# Rules of honest play”" in note
