"""Reading problem files: KernelBench's shape, its short form, and one sentence for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from refine_agent.problem import MAX_BYTES, ProblemError, Refused, load, load_all
from refine_agent.records import Problem

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return x

def get_inputs():
    return [torch.rand(4)]

def get_init_inputs():
    return []
"""


def write(tmp_path: Path, text: str, name: str = "scale.py") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_kernelbench_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    problem = load(write(tmp_path, WHOLE))

    assert (problem.name, problem.source) == ("scale", WHOLE)


def test_nothing_in_the_file_is_run(tmp_path: Path) -> None:
    load(write(tmp_path, WHOLE + f"\nopen({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit(7)\n"))

    assert not (tmp_path / "ran").exists()


def test_one_module_and_get_inputs_are_enough(tmp_path: Path) -> None:
    text = WHOLE.replace("class Model(", "class Scale(").split("def get_init_inputs")[0]

    problem = load(write(tmp_path, text))

    assert "Model = Scale" in problem.source
    assert "def get_init_inputs():\n    return []" in problem.source


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("x = 1\n", "defines no get_inputs", id="not a problem"),
        pytest.param("def f(:\n", r"scale.py:1: .*does not parse", id="syntax"),
        pytest.param(
            WHOLE.replace("Model(torch.nn.Module)", "Net"), "no class Model", id="no module"
        ),
        pytest.param(
            WHOLE.replace("def forward", "def backward"),
            r":4: class Model has no forward",
            id="no forward",
        ),
        pytest.param(
            WHOLE.replace("get_inputs():", "get_inputs(n):"),
            r":8: get_inputs\(\) must be callable",
            id="arguments",
        ),
        pytest.param(
            WHOLE.replace("class Model(", "class A(") + "class B(torch.nn.Module):\n    pass\n",
            r"several modules .* A \(line 4\), B \(line 13\)",
            id="several",
        ),
        pytest.param("\0", "does not parse", id="null byte"),
        pytest.param("x = " + "(" * 100_000, "does not parse", id="nested"),
    ],
)
def test_a_bad_file_gets_one_sentence_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ProblemError, match=says) as raised:
        load(write(tmp_path, text))

    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'\n")

    with pytest.raises(ProblemError, match="not UTF-8"):
        load(tmp_path / "latin.py")
    with pytest.raises(ProblemError, match="there is no file"):
        load(tmp_path / "nowhere.py")
    with pytest.raises(ProblemError, match="directory"):
        load(tmp_path)


def test_a_folder_gives_its_problems_by_name_and_passes_over_other_files(tmp_path: Path) -> None:
    write(tmp_path, WHOLE, "b.py")
    write(tmp_path, WHOLE, "a.py")
    write(tmp_path, "import setuptools\n", "setup.py")
    write(tmp_path, "def (", "broken.py")

    assert [problem.name for problem in load_all(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(WHOLE.replace("forward(self, x):", "forward(self, x:"), "parse", id="syntax"),
        pytest.param(WHOLE + "#" * MAX_BYTES, "larger than a megabyte", id="too large"),
        pytest.param(
            WHOLE.replace("Model(torch.nn.Module)", "Net"), "no class Model", id="no module"
        ),
        pytest.param(WHOLE.replace("get_inputs()", "get_inputs(n)"), "callable", id="arguments"),
    ],
)
def test_a_folder_names_the_problem_it_cannot_take_and_takes_the_others(
    tmp_path: Path, text: str, says: str
) -> None:
    write(tmp_path, WHOLE, "a.py")
    write(tmp_path, text, "b.py")
    write(tmp_path, WHOLE, "c.py")
    (tmp_path / ".#c.py").symlink_to(tmp_path / "an editor's lock")

    first, broken, last = load_all(tmp_path)

    assert isinstance(first, Problem)
    assert isinstance(last, Problem)
    assert isinstance(broken, Refused)
    assert broken.name == "b"
    assert says in broken.why
    assert "b.py" in broken.why


def test_a_file_of_a_folder_that_is_not_utf8_is_named_where_it_means_to_be_a_problem(
    tmp_path: Path,
) -> None:
    (tmp_path / "latin.py").write_bytes(b"# \xe9\n" + WHOLE.encode())
    (tmp_path / "other.py").write_bytes(b"# \xe9\n")

    (found,) = load_all(tmp_path)

    assert isinstance(found, Refused)
    assert found.name == "latin"


def test_a_folder_without_a_problem_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="holds no problem"):
        load_all(tmp_path)
