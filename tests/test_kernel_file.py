"""Kernels that people bring: what is declared of a bare file is what a compiler reads in it."""

from __future__ import annotations

import ast
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from refine_agent.kernel_file import KernelFileError, read_candidate
from refine_agent.records import Problem

if TYPE_CHECKING:
    from pathlib import Path

PROBLEM = Problem(name="scale", source="class Model: ...\n")
TENSOR = "namespace torch { struct Tensor {}; }\n"


def declared(tmp_path: Path, text: str) -> str:
    """Return the declaration that a bare CUDA file is bound by."""
    path = tmp_path / "mine.cu"
    path.write_text(text)
    tree = ast.parse(read_candidate(path, PROBLEM))
    (given,) = (
        keyword.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "cpp_sources"
    )
    return str(ast.literal_eval(given))


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("torch::Tensor x,  // [N, D]\n    torch::Tensor w", id="a line comment"),
        pytest.param("torch::Tensor x,  // (N, D)\n    torch::Tensor w  // (D)\n", id="parens"),
        pytest.param("torch::Tensor x, /* (N,\n D) */ torch::Tensor w", id="a block comment"),
        pytest.param("torch::Tensor x,  // both \\\n lines\n torch::Tensor w", id="a spliced line"),
        pytest.param("torch::Tensor x,\n    torch::Tensor w", id="none"),
    ],
)
def test_comments_among_the_arguments_are_left_out_of_the_declaration(
    tmp_path: Path, arguments: str
) -> None:
    found = declared(tmp_path, f"torch::Tensor forward({arguments}) {{\n  return x;\n}}\n")

    assert found == "torch::Tensor forward(torch::Tensor x, torch::Tensor w);"
    compiled = subprocess.run(
        ["g++", "-fsyntax-only", "-x", "c++", "-"],
        input=f"{TENSOR}{found}\nint main() {{ forward({{}}, {{}}); }}\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.parametrize(
    "before",
    [
        'const char* url = "https://example.org"; /* see " there */\n',
        'const char* code = R"(a // b /* c)";\n',
        "constexpr int many = 1'000'000, few = 1'0; char quote = '\"', slash = '/';\n",
        "// don't\n",
    ],
)
def test_quotes_and_comments_before_the_function_hide_nothing(tmp_path: Path, before: str) -> None:
    text = f"{before}torch::Tensor forward(torch::Tensor x) {{ return x; }}\n"

    assert declared(tmp_path, text) == "torch::Tensor forward(torch::Tensor x);"


def test_the_file_itself_is_judged_with_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "mine.cu"
    path.write_text("// one pass\ntorch::Tensor forward(torch::Tensor x /* [N] */) { return x; }\n")

    assert path.read_text() in read_candidate(path, PROBLEM)


def test_a_function_that_is_commented_out_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.cu"
    path.write_text("/*\ntorch::Tensor forward(torch::Tensor x) { return x; }\n*/\n")

    with pytest.raises(KernelFileError, match="defines no"):
        read_candidate(path, PROBLEM)
