"""Owns one build on its way: what to compile, with what, through whom, and how it ended.

The two ways to compile are left to `light_build` and `stock_build`.
"""

import re
from pathlib import Path

import msgspec

from refine_agent.builder.flags import Flags
from refine_agent.builder.headers import unforeseen_headers
from refine_agent.builder.records import BuildRequest, Run
from refine_agent.builder.store import Store
from refine_agent.builder.toolchain import Toolchain

_MAX_LOG_CHARS = 24_000
# nvcc says "cuda_source(12): error", which editors and authors read less well.
_NVCC_PLACE = re.compile(r"^([\w./-]+)\((\d+)\)(?=: )", re.MULTILINE)
# Vectorisation remarks about anything but the candidate's own loops.
_FOREIGN_REMARK = re.compile(
    r"^(?!cpp_source:)[^\n]*: optimized: [^\n]*\n?|^[^\n]*: optimized: basic block[^\n]*\n?",
    re.MULTILINE,
)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose flags are allowed, and all it takes to build it."""

    request: BuildRequest
    flags: Flags
    toolchain: Toolchain
    run: Run
    deadline_s: float
    store: Store | None = None
    """Where what is compiled once for many builds is kept; without one, nothing is."""

    def unforeseen_headers(self) -> dict[str, str]:
        """Headers of torch's that the candidate includes and no light header was written for."""
        asked = self.request
        texts = (*asked.cpp_sources, *asked.cuda_sources, *asked.headers.values())
        return unforeseen_headers(
            "\n".join(texts),
            include=self.toolchain.include,
            torch_include=Path(self.toolchain.facts.package) / "include",
        )


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """How compiling and linking ended."""

    built: bool
    log: str
    """All that the compilers said."""
    told: str
    """What of it concerns the candidate's author."""
    timed_out: bool
    crashed: bool
    """A compiler died of a signal: most often of memory."""


def readable(log: str, *folders: Path) -> str:
    """The log as its author should see it.

    No path of this machine, `cuda_source:12` for a line of its own, and not too long: the first
    errors matter most, and the compiler's count is at the end.
    """
    text = log
    for folder in folders:
        text = text.replace(f"{folder}/headers/", "").replace(f"{folder}/", "")
    text = re.sub(r"(?:/[\w.+-]+)+/include/(?=(?:light|torch|ATen|c10|pybind11)/)", "", text)
    text = _FOREIGN_REMARK.sub("", _NVCC_PLACE.sub(r"\1:\2", text))
    if len(text) <= _MAX_LOG_CHARS:
        return text.strip()
    tail = _MAX_LOG_CHARS // 4
    return f"{text[: _MAX_LOG_CHARS - tail]}\n[...]\n{text[-tail:]}".strip()
