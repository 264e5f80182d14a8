"""How replies are read: which block is the kernel, what was the idea, what was foretold."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

from refine_agent.profiling.records import Prediction
from refine_agent.records import Candidate, Reply, Unreadable
from refine_agent.reply import MAX_IDEA_CHARS, extract, remark

KERNEL = "import torch\n\n\nclass ModelNew(torch.nn.Module):\n    pass\n"
OTHER = KERNEL.replace("pass", "eps = 1e-5")


def reply(text: str, *, finish: str | None = "stop") -> Reply:
    return Reply(text=text, model="test", answers="0" * 16, finish_reason=finish)


def kernel(text: str, *, finish: str | None = "stop") -> Candidate:
    found = extract(reply(text, finish=finish), 3)
    assert isinstance(found, Candidate), found
    return found


def reason(text: str, *, finish: str | None = "stop") -> str:
    found = extract(reply(text, finish=finish))
    assert isinstance(found, Unreadable), found
    return found.reason


def block(source: str = KERNEL, fence: str = "```", language: str = "python") -> str:
    return f"{fence}{language}\n{source}{fence}\n"


def test_the_block_is_the_kernel_to_the_letter() -> None:
    found = kernel(f"IDEA: read once\nPREDICTION: time_us 300 -> 200\n{block()}")
    assert found.source == KERNEL
    assert found.parent == 3
    assert found.author == "model"


@pytest.mark.parametrize("language", ["python", "py", "", "Python3", "cuda", "python title=x.py"])
def test_any_language_tag_will_do(language: str) -> None:
    assert kernel(block(language=language)).source == KERNEL


@pytest.mark.parametrize("fence", ["```", "````", "~~~", "~~~~~"])
def test_any_fence_of_markdown_will_do(fence: str) -> None:
    assert kernel(block(fence=fence)).source == KERNEL


def test_a_longer_fence_holds_shorter_ones() -> None:
    source = KERNEL + 'DOC = """\n```\nnot the end\n```\n"""\n'
    assert kernel(block(source, fence="````")).source == source


def test_backticks_inside_a_line_do_not_end_the_block() -> None:
    source = KERNEL + "# see ``torch`` and ```x``` here\n"
    assert kernel(block(source)).source == source


def test_a_fence_of_another_kind_does_not_end_the_block() -> None:
    source = KERNEL + "# ~\n~~~\n"
    assert kernel(block(source)).source == source


def test_windows_line_ends_are_read_like_any() -> None:
    assert kernel(f"IDEA: x\n{block()}".replace("\n", "\r\n")).source == KERNEL


def test_a_block_in_a_list_may_be_indented_a_little() -> None:
    assert kernel(f"   ```python\n{KERNEL}   ```\n").source == KERNEL


def test_a_block_that_stands_in_a_list_loses_the_lists_indentation() -> None:
    indented = "".join(f"    {line}".rstrip() + "\n" for line in block().splitlines())
    assert kernel(f"1. Here:\n\n{indented}").source == KERNEL


def test_what_has_no_block_says_so() -> None:
    assert "no fenced code block" in reason("I would use float4.")
    assert "no fenced code block" in reason(KERNEL)


@pytest.mark.parametrize("text", ["", "  \n\n"])
def test_an_empty_reply_says_so(text: str) -> None:
    assert reason(text) == "the reply was empty"


@pytest.mark.parametrize(
    ("finish", "says"),
    [
        ("length", r"limit of tokens \(--max-tokens\) in thinking"),
        ("content_filter", "content filter kept the reply back"),
        ("tool_calls", "called a tool"),
        ("function_call", "called a tool"),
        ("odd", "the reply was empty"),
    ],
)
def test_an_empty_reply_says_why_nothing_came(finish: str, says: str) -> None:
    assert re.search(says, reason("", finish=finish))


@pytest.mark.parametrize("text", ["Let me think about banks and", f"```python\n{KERNEL}"])
def test_what_cut_a_reply_off_is_named(text: str) -> None:
    assert "by its limit of tokens (--max-tokens)" in reason(text, finish="length")
    assert "by the provider's content filter" in reason(text, finish="content_filter")


def test_a_block_without_the_module_says_so() -> None:
    assert "defines ModelNew" in reason(block("int x;\n", language="cpp"))


def test_a_comment_that_names_the_module_defines_nothing() -> None:
    assert "defines ModelNew" in reason(block("# class ModelNew goes here\n"))


def test_an_alias_defines_the_module() -> None:
    source = "from torch import nn\nModelNew = nn.Identity\n"
    assert kernel(block(source)).source == source


def test_of_two_kernels_the_last_is_taken_and_it_is_said() -> None:
    text = f"First:\n{block(OTHER)}\nBetter:\n{block()}"
    assert kernel(text).source == KERNEL
    assert remark(reply(text)) == (
        "the reply held 2 blocks that define ModelNew; the last one was taken"
    )


def test_other_blocks_beside_the_kernel_are_passed_over() -> None:
    text = block("x = 1\n") + block() + block("nvcc -O3\n", language="sh")
    assert kernel(text).source == KERNEL
    assert remark(reply(text)) is None


@pytest.mark.parametrize("finish", ["length", None, "content_filter"])
def test_a_block_that_does_not_end_was_cut_off(finish: str | None) -> None:
    assert "cut off" in reason(f"IDEA: x\n```python\n{KERNEL}", finish=finish)


def test_a_whole_kernel_that_only_lacks_its_fence_is_taken_and_it_is_said() -> None:
    text = f"IDEA: x\n```python\n{KERNEL}"
    found = kernel(text)
    assert found.source.strip() == KERNEL.strip()
    assert found.idea == "x"
    assert remark(reply(text)) == (
        "the code block was not closed; it was taken to the end of the reply"
    )


def test_a_kernel_with_odd_escapes_is_read_without_a_warning() -> None:
    assert kernel(f"```python\n{KERNEL}WHERE = '\\d'\n").source.count("ModelNew") == 1


@pytest.mark.parametrize("rest", ["    def forward(self, x):", "    x = (1,", "\nThat is all."])
def test_an_open_block_that_does_not_parse_was_cut_off(rest: str) -> None:
    assert "cut off inside its code block" in reason(f"```python\n{KERNEL}{rest}")


def test_a_second_kernel_may_lack_its_fence_too() -> None:
    text = f"{block(OTHER)}Better:\n```python\n{KERNEL}"
    assert kernel(text).source.strip() == KERNEL.strip()
    assert remark(reply(text)) == (
        "the reply held 2 blocks that define ModelNew; the last one was taken; "
        "the code block was not closed; it was taken to the end of the reply"
    )


def test_a_reply_cut_off_in_its_thoughts_was_cut_off() -> None:
    assert "cut off" in reason("Let me think about banks and", finish="length")


def test_a_second_kernel_cut_off_does_not_bring_back_the_first() -> None:
    assert "cut off" in reason(f"{block(OTHER)}Now better:\n```python\n{KERNEL}", finish="length")


def test_words_cut_off_after_the_kernel_cost_nothing() -> None:
    assert kernel(f"{block()}This works beca", finish="length").source == KERNEL


@pytest.mark.parametrize(
    "line",
    [
        "IDEA: keep the row in registers",
        "**IDEA:** keep the row in registers",
        "**IDEA**: keep the row in registers",
        "- IDEA: keep the row in registers",
        "## Idea: keep the row in registers",
        "`IDEA: keep the row in registers`",
    ],
)
def test_the_idea_is_read_however_it_is_dressed(line: str) -> None:
    assert kernel(f"{line}\n{block()}").idea == "keep the row in registers"


def test_a_long_idea_is_cut() -> None:
    idea = kernel(f"IDEA: {'x' * 1000}\n{block()}").idea
    assert idea is not None
    assert len(idea) <= MAX_IDEA_CHARS


def test_the_last_idea_stands_since_models_think_aloud() -> None:
    text = f"IDEA: split K\nno, rather\nIDEA: stream\nPREDICTION: time_us 3 -> 2\n{block()}"
    assert kernel(text).idea == "stream"


def test_an_idea_inside_the_kernel_is_a_comment_of_it() -> None:
    source = "# IDEA: from the file\n# PREDICTION: time_us 9 -> 1\n" + KERNEL
    found = kernel(block(source))
    assert found.idea is None
    assert found.prediction is None


def test_no_idea_and_no_prediction_is_no_fault() -> None:
    found = kernel(block())
    assert found.idea is None
    assert found.prediction is None


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        ("PREDICTION: time_us 320 -> 150", 320, 150),
        ("**PREDICTION:** time_us 320 -> 150", 320, 150),
        ("PREDICTION: `time_us` 320 -> 150", 320, 150),
        ("- PREDICTION: time_us: 320 → 150", 320, 150),
        ("PREDICTION: time_us 320 => 150", 320, 150),
        ("PREDICTION: time_us 320 --> 150", 320, 150),
        ("PREDICTION: time_us from 320 to 150", 320, 150),
        ("PREDICTION: time_us 320 us -> 150 us", 320, 150),
        ("PREDICTION: time_us 320.5µs -> ~150.25µs", 320.5, 150.25),
        ("PREDICTION: time_us 1,320 -> 1,150", 1320, 1150),
        ("PREDICTION: time_us (us) 320 -> 150", 320, 150),
        ("PREDICTION: time_us -> 150", None, 150),
        ("PREDICTION: time_us to 150", None, 150),
        ("PREDICTION: time_us ~320 -> ~150", 320, 150),
        ("PREDICTION: time_us about 320 -> about 150", 320, 150),
        ("PREDICTION: time_us = 320 -> 150", 320, 150),
        ("prediction: TIME_US 3.2e2 -> 1.5e2", 320, 150),
        ("PREDICTION: time_us 320 -> 150 (DRAM-bound, so 0.5x)", 320, 150),
        ("PREDICTION: time_us 320 -> <150", 320, 150),
    ],
)
def test_a_prediction_is_read_however_it_is_dressed(
    line: str, before: float | None, after: float
) -> None:
    expected = Prediction(metric="time_us", before=before, after=after)
    assert kernel(f"IDEA: x\n{line}\n{block()}").prediction == expected


def test_of_several_words_the_one_in_the_table_is_the_metric() -> None:
    found = kernel(f"PREDICTION: reduce registers from 64 to 32\n{block()}")
    assert found.prediction == Prediction(metric="registers", before=64, after=32)


def test_percentages_are_read_as_their_number() -> None:
    found = kernel(f"PREDICTION: dram_pct 69 % -> 90 %\n{block()}")
    assert found.prediction == Prediction(metric="dram_pct", before=69, after=90)


@pytest.mark.parametrize(
    "line",
    [
        "PREDICTION: it will be faster",
        "PREDICTION: time_us 320",
        "PREDICTION: time_us faster -> slower",
        "PREDICTION: <metric> <from> -> <to>",
        "PREDICTION:",
    ],
)
def test_what_foretells_no_number_is_no_prediction(line: str) -> None:
    assert kernel(f"{line}\n{block()}").prediction is None


def test_a_hostile_reply_is_read_in_no_time() -> None:
    # Each of these made a naive pattern try every split of the line.
    for text in ("`" * 100_000, "PREDICTION: " + "a " * 50_000, "IDEA:" + " *" * 100_000):
        assert "fenced" in reason(text) or "cut off" in reason(text)


def test_a_block_shown_within_prose_quotes_is_still_found() -> None:
    text = (
        dedent("""\
        The old code was:
        ```cuda
        __global__ void k() {}
        ```
        IDEA: x
        PREDICTION: launches 2 -> 1
        """)
        + block()
    )
    found = kernel(text)
    assert found.source == KERNEL
    assert found.prediction == Prediction(metric="launches", before=2, after=1)
