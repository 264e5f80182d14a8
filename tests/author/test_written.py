"""Answers that people write: into files of a folder, into an editor, into the terminal."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pexpect
import pytest

from refine_agent import prompts
from refine_agent.author import AuthorFault, open_author
from refine_agent.loop import NoAnswer, Quiet
from refine_agent.records import Options
from tests.prompts import sessions

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.loop import Author
    from refine_agent.records import Prompt, Reply
    from refine_agent.transcript import Transcript


def under_way(folder: Path, *, samples: int = 1) -> tuple[Transcript, Prompt]:
    """Return a run whose first turn waits for its answers."""
    book = sessions.Book(folder, options=Options(samples=samples), setup=sessions.setup())
    prompt = prompts.render(book.run)
    book.prompted(prompt)
    return book.run, prompt


def scripted(folder: Path, run: Transcript) -> Author:
    return open_author(f"script:{folder}", options=run.options, transcript=run)


def ask(author: Author, prompt: Prompt, attempt: int = 1) -> Reply:
    return author.ask(prompt, attempt=attempt, watch=Quiet())


# --- script:DIR ----------------------------------------------------------------------------------


def test_an_answer_is_read_from_its_file(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run")
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "turn_1.md").write_text("IDEA: x\n```python\nModelNew = 1\n```\n")
    reply = ask(scripted(answers, run), prompt)
    assert reply.text == "IDEA: x\n```python\nModelNew = 1\n```\n"
    assert reply.answers == prompt.digest
    assert reply.model == "script"
    assert reply.thrown_away == 0


def test_a_missing_answer_is_awaited_beside_its_prompt(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run")
    answers = tmp_path / "deep" / "answers"
    with pytest.raises(NoAnswer, match=r"turn_1\.md .*prompt_1\.md.* `resume`"):
        ask(scripted(answers, run), prompt)
    assert [path.name for path in answers.iterdir()] == ["prompt_1.md"]
    written = (answers / "prompt_1.md").read_text()
    assert prompt.digest in written
    for message in prompt.messages:
        assert message.content in written


def test_an_empty_file_is_no_answer_yet(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run")
    (tmp_path / "turn_1.md").write_text("\n \n")
    with pytest.raises(NoAnswer):
        ask(scripted(tmp_path, run), prompt)


def test_a_folder_that_cannot_be_written_still_answers(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run")
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "turn_1.md").write_text("here")
    (answers / "prompt_1.md").mkdir()  # root ignores mode bits; nobody writes onto a folder
    assert ask(scripted(answers, run), prompt).text == "here"


def test_samples_have_files_of_their_own(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run", samples=3)
    for name in ("turn_1.md", "turn_1.2.md", "turn_1.3.md"):
        (tmp_path / name).write_text(name)
    author = scripted(tmp_path, run)
    assert [ask(author, prompt, n).text for n in (1, 2, 3)] == [
        "turn_1.md",
        "turn_1.2.md",
        "turn_1.3.md",
    ]


def test_the_sample_that_was_missing_is_the_one_read_on_resume(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run", samples=2)
    (tmp_path / "turn_1.2.md").write_text("second")
    author = scripted(tmp_path, run)
    with pytest.raises(NoAnswer, match=r"turn_1\.md"):
        ask(author, prompt, 1)
    second = ask(author, prompt, 2)
    sessions.again(run).arrived(second, attempt=2)
    (tmp_path / "turn_1.md").write_text("first")
    for resumed in (author, scripted(tmp_path, run)):
        assert ask(resumed, prompt, 3).text == "first"


def test_an_answer_that_was_read_is_not_read_twice(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run", samples=3)
    author = scripted(tmp_path, run)
    for number in (1, 3):
        place = tmp_path / ("turn_1.md" if number == 1 else "turn_1.3.md")
        place.write_text(f"sample {number}")
        sessions.again(run).arrived(ask(author, prompt, number), attempt=number)
    (tmp_path / "turn_1.2.md").write_text("sample 2")
    assert ask(scripted(tmp_path, run), prompt, 4).text == "sample 2"


def test_turns_after_an_offer_keep_the_runs_own_numbers(tmp_path: Path) -> None:
    run = sessions.long(tmp_path / "run")
    prompt = prompts.render(run)
    turn = sessions.again(run).prompted(prompt)
    (tmp_path / f"turn_{turn}.md").write_text("sixth")
    assert ask(scripted(tmp_path, run), prompt, 6).text == "sixth"


def test_an_answer_may_say_who_wrote_it_and_what_was_thrown_away(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run")
    header = "<!-- model: a person; thrown away: 2 -->\n"
    (tmp_path / "turn_1.md").write_text(header + "IDEA: y\n")
    reply = ask(scripted(tmp_path, run), prompt)
    assert reply.text == "IDEA: y\n"
    assert reply.model == "a person"
    assert reply.thrown_away == 2


@pytest.mark.parametrize("first", ["<!-- a remark -->", "<!-- -->", "<!-- model -->"])
def test_any_other_comment_is_part_of_the_answer(tmp_path: Path, first: str) -> None:
    run, prompt = under_way(tmp_path / "run")
    (tmp_path / "turn_1.md").write_text(f"{first}\nIDEA: y\n")
    reply = ask(scripted(tmp_path, run), prompt)
    assert reply.text == f"{first}\nIDEA: y\n"
    assert reply.model == "script"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "answers").write_text("")
    for name in (f"script:{tmp_path / 'answers'}", "script:"):
        with pytest.raises(AuthorFault, match="script:FOLDER"):
            open_author(name, options=Options())


def test_without_a_run_attempts_count_as_turns(tmp_path: Path) -> None:
    (tmp_path / "turn_2.md").write_text("two")
    author = open_author(f"script:{tmp_path}", options=Options())
    prompt = prompts.prompt_of(())
    assert ask(author, prompt, 2).text == "two"


# --- manual --------------------------------------------------------------------------------------


def test_without_a_terminal_a_person_is_awaited_in_the_runs_folder(tmp_path: Path) -> None:
    run, prompt = under_way(tmp_path / "run")
    author = open_author("manual", options=run.options, transcript=run)
    with pytest.raises(NoAnswer, match=r"answers/turn_1\.md"):
        ask(author, prompt)
    (tmp_path / "run" / "answers" / "turn_1.md").write_text("by hand")
    reply = ask(author, prompt)
    assert reply.text == "by hand"
    assert reply.model == "manual"


ASKING = """
import sys
from refine_agent import prompts
from refine_agent.author import open_author
from refine_agent.records import Message, Options

class Showing:
    def phase(self, name): pass
    def text(self, piece): print(piece, end="", flush=True)

prompt = prompts.prompt_of((Message(role="user", content="What is faster?"),))
reply = open_author("manual", options=Options()).ask(prompt, attempt=1, watch=Showing())
print("GOT", repr(reply.text), reply.answers == prompt.digest)
"""


def at_a_terminal(**environment: str) -> pexpect.spawn[str]:
    clean = {k: v for k, v in os.environ.items() if k not in {"EDITOR", "VISUAL"}}
    return pexpect.spawn(
        sys.executable,
        ["-c", ASKING],
        env=clean | environment,
        encoding="utf-8",
        timeout=30,
        echo=False,
    )


def test_at_a_terminal_a_person_reads_the_prompt_and_writes_until_eof() -> None:
    child = at_a_terminal()
    child.expect_exact("What is faster?")
    child.expect_exact("a line EOF")
    child.sendline("IDEA: float4")
    child.sendline("EOF")
    child.expect_exact(r"GOT 'IDEA: float4\n' True")


def test_at_a_terminal_the_editor_is_opened_if_there_is_one(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        "#!/bin/sh\ngrep -q 'What is faster?' \"$2\" || exit 1\n"
        'printf "from the editor\\n" | cat - "$2" > "$2.new" && mv "$2.new" "$2"\n'
    )
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    child = at_a_terminal(EDITOR=f"{editor} --wait")
    child.expect_exact("GOT 'from the editor' True")


def test_an_editor_that_fails_is_named() -> None:
    child = at_a_terminal(VISUAL="/bin/false")
    child.expect("AuthorFault: the editor '/bin/false' did not end well")


def test_an_editor_closed_without_a_word_is_no_answer() -> None:
    child = at_a_terminal(EDITOR="/bin/true")
    child.expect("NoAnswer: nothing was written")
