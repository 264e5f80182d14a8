"""Owns what goes into a build and what comes out: requests, artifacts, rejections, faults.

How a request becomes an artifact is left to the other modules of `refine_agent.builder`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

Device = Literal["cpu", "cuda"]
Flavour = Literal["light", "stock"]


class BuilderFault(Exception):  # noqa: N818 - a fault of the machine, not an error of the program
    """The machine cannot build, whatever the candidate: no compiler, no room, no right to write."""


class BuildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `torch.utils.cpp_extension.load_inline` was asked for, as plain text."""

    name: str
    cpp_sources: tuple[str, ...] = ()
    cuda_sources: tuple[str, ...] = ()
    functions: dict[str, str] | None = None
    """Function name to docstring; None when the sources bind themselves."""
    extra_cflags: tuple[str, ...] = ()
    extra_cuda_cflags: tuple[str, ...] = ()
    extra_ldflags: tuple[str, ...] = ()
    extra_include_paths: tuple[str, ...] = ()
    """Folders outside the candidate's own; those of its own arrive as `headers`."""
    headers: dict[str, str] = {}
    """The candidate's own header files: path as an `#include` spells it, to text."""
    with_cuda: bool | None = None
    no_implicit_headers: bool = False
    is_python_module: bool = True
    with_pytorch_error_handling: bool = True

    @property
    def uses_cuda(self) -> bool:
        """Whether torch would add CUDA's headers and libraries."""
        return bool(self.cuda_sources) if self.with_cuda is None else self.with_cuda


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """A built extension in the shared cache; it and its folder are read-only."""

    module: str
    """The Python module to import (TORCH_EXTENSION_NAME)."""
    path: str
    """The shared object. The captured sources lie beside it as `cpp_source` and `cuda_source`."""
    digest: str
    """Of sources, flags, architecture, compilers, torch, light headers and flavour."""
    flavour: Flavour
    why_stock: str | None
    seconds: float
    """What this call took; a cached one took next to nothing."""
    cached: bool
    log: str
    """The compilers' output: warnings, `ptxas -v` resource usage, vectorisation remarks."""


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The candidate does not build; the log is the compiler's own text and goes to its author."""

    log: str
    seconds: float
    flavour: Flavour


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """One child process that ended."""

    exit_code: int | None
    """None: killed at its deadline. Negative: the signal that ended it."""
    output: str
    """stdout and stderr, in the order written."""
    seconds: float


class Run(Protocol):
    """The only thing that spawns: fenced, in its own process group, with a deadline."""

    def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        """Run to the end or to the deadline; nothing of the child outlives the call."""
        ...
