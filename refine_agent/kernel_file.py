"""Reading a kernel that a person wrote: a module with ``ModelNew``, or a bare ``.cu`` or ``.cpp``.

A bare file defines ``forward`` over tensors and gets the small module around it that a model would
have written; what it is worth is the bench's finding.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from refine_agent.records import Problem

# A function at file level that returns a tensor or several: what load_inline can bind.
_FORWARD = re.compile(
    r"^(?P<head>(?:torch::|at::)Tensor|std::vector<(?:torch::|at::)Tensor>)\s+"
    r"forward\s*\((?P<arguments>[^)]*)\)\s*\{",
    re.MULTILINE,
)
# What stands between quotes is no comment; digits may be parted by a single quote, as in 1'000.
_COMMENT = re.compile(
    r"(?P<kept>R\"(?P<fence>[^()\\\s]{0,16})\(.*?\)(?P=fence)\"|\"(?:\\.|[^\"\\\n])*\""
    r"|'(?:\\[^\n']+|\\'|[^'\\\n])')|//(?:\\\n|[^\n])*|/\*.*?\*/",
    re.DOTALL,
)
_QUOTES = "'''"


class KernelFileError(ValueError):
    """The file holds no kernel; the message says what is missing."""


def read_candidate(path: Path, problem: Problem) -> str:
    """Return the candidate in a file as the module that will be judged.

    A ``.cu`` or ``.cpp`` file is wrapped: its ``forward`` receives the reference's inputs, then the
    module's parameters and buffers in the order of ``state_dict()``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise KernelFileError(f"there is no file {path}; name the kernel to be judged") from None
    except UnicodeDecodeError as why:
        raise KernelFileError(f"{path} is not UTF-8 text (byte {why.start})") from None
    if path.suffix in {".cu", ".cpp"}:
        return wrap(text, problem, cuda=path.suffix == ".cu", name=path.name)
    if "ModelNew" not in text:
        raise KernelFileError(
            f"{path} defines no class ModelNew; a kernel is a module that does, or a .cu or .cpp "
            "file with `torch::Tensor forward(...)`"
        )
    return text


def wrap(text: str, problem: Problem, *, cuda: bool, name: str) -> str:
    """Return the module that builds ``text`` with ``load_inline`` and calls its ``forward``."""
    found = _FORWARD.search(_without_comments(text))
    if found is None:
        raise KernelFileError(
            f"{name} defines no `torch::Tensor forward(...)` at the start of a line; "
            "that is the function that is called"
        )
    if _QUOTES in text:
        raise KernelFileError(f"{name} contains {_QUOTES}, which would end the text it is put into")
    declaration = f"{found['head']} forward({' '.join(found['arguments'].split())});"
    sources = f"cpp_sources={declaration!r}, cuda_sources=SOURCE" if cuda else "cpp_sources=SOURCE"
    return (
        f"{problem.source.rstrip()}\n\n\n"
        "from torch.utils.cpp_extension import load_inline\n\n"
        f"SOURCE = r{_QUOTES}{text}{_QUOTES}\n\n"
        f'extension = load_inline(name="engineer", {sources}, functions=["forward"])\n\n\n'
        "class ModelNew(Model):\n"
        f'    """Calls forward() of {name} with the inputs, then parameters and buffers."""\n\n'
        "    def forward(self, *inputs):\n"
        "        return extension.forward(*inputs, *self.state_dict().values())\n"
    )


def _without_comments(text: str) -> str:
    """Return C++ with a space for each comment, as the compiler reads it."""
    return _COMMENT.sub(lambda found: found["kept"] or " ", text)
