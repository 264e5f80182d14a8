"""Owns the drop-in for `torch.utils.cpp_extension.load_inline` and `load` in a candidate's process.

It captures what was asked and imports what comes back; compiling is left to whoever answers
`build`, who is never this process: candidates do not write the shared cache.
"""

import importlib.machinery
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

import torch
from torch.utils import cpp_extension

from refine_agent.builder.records import Artifact, BuildRequest, Rejected

Build = Callable[[BuildRequest], Artifact | Rejected]
Load = Callable[[Artifact], ModuleType]
_CUDA_SUFFIXES = (".cu", ".cuh")
_HEADER_SUFFIXES = (".h", ".hpp", ".cuh", ".inl", ".hh", ".cu", ".cpp")
_MAX_HEADER_BYTES = 2**20


def install(build: Build, load: Load | None = None) -> None:
    """Make torch's two ways to compile an extension go through `build`, and then `load`."""
    drop_in = _DropIn(build, load or import_extension)
    cpp_extension.load_inline = drop_in.load_inline
    cpp_extension.load = drop_in.load


class _DropIn:
    """torch's signatures, as of 2.6 to 2.13, over one `build`."""

    def __init__(self, build: Build, load: Load) -> None:
        self._build = build
        self._load = load

    def load_inline(  # noqa: PLR0913, PLR0917 - torch's signature
        self,
        name: str,
        cpp_sources: str | Sequence[str],
        cuda_sources: str | Sequence[str] | None = None,
        sycl_sources: str | Sequence[str] | None = None,
        functions: str | Sequence[str] | dict[str, str] | None = None,
        extra_cflags: Sequence[str] | None = None,
        extra_cuda_cflags: Sequence[str] | None = None,
        extra_sycl_cflags: Sequence[str] | None = None,
        extra_ldflags: Sequence[str] | None = None,
        extra_include_paths: Sequence[str] | str | None = None,
        build_directory: str | None = None,  # noqa: ARG002 - artifacts live in the shared cache
        verbose: bool = False,  # noqa: ARG002, FBT001, FBT002
        with_cuda: bool | None = None,  # noqa: FBT001
        with_sycl: bool | None = None,  # noqa: FBT001
        is_python_module: bool = True,  # noqa: FBT001, FBT002
        with_pytorch_error_handling: bool = True,  # noqa: FBT001, FBT002
        keep_intermediates: bool = True,  # noqa: ARG002, FBT001, FBT002
        use_pch: bool = False,  # noqa: ARG002, FBT001, FBT002
        no_implicit_headers: bool = False,  # noqa: FBT001, FBT002
    ) -> ModuleType | str:
        """Build sources given as text; the same contract as torch's."""
        _refuse_sycl(sycl_sources, extra_sycl_cflags, with_sycl)
        own, foreign = _include_paths(extra_include_paths)
        request = BuildRequest(
            name=name,
            cpp_sources=_texts(cpp_sources),
            cuda_sources=_texts(cuda_sources),
            functions=_functions(functions),
            extra_cflags=_texts(extra_cflags),
            extra_cuda_cflags=_texts(extra_cuda_cflags),
            extra_ldflags=_texts(extra_ldflags),
            extra_include_paths=foreign,
            headers=_headers(own),
            with_cuda=with_cuda,
            no_implicit_headers=no_implicit_headers,
            is_python_module=is_python_module,
            with_pytorch_error_handling=with_pytorch_error_handling,
        )
        return self._loaded(request)

    def load(  # noqa: PLR0913, PLR0917 - torch's signature
        self,
        name: str,
        sources: str | Sequence[str],
        extra_cflags: Sequence[str] | None = None,
        extra_cuda_cflags: Sequence[str] | None = None,
        extra_sycl_cflags: Sequence[str] | None = None,
        extra_ldflags: Sequence[str] | None = None,
        extra_include_paths: Sequence[str] | str | None = None,
        build_directory: str | None = None,  # noqa: ARG002
        verbose: bool = False,  # noqa: ARG002, FBT001, FBT002
        with_cuda: bool | None = None,  # noqa: FBT001
        with_sycl: bool | None = None,  # noqa: FBT001
        is_python_module: bool = True,  # noqa: FBT001, FBT002
        is_standalone: bool = False,  # noqa: FBT001, FBT002
        keep_intermediates: bool = True,  # noqa: ARG002, FBT001, FBT002
    ) -> ModuleType | str:
        """Build sources given as files; they are read here and captured."""
        _refuse_sycl(None, extra_sycl_cflags, with_sycl)
        if is_standalone:
            raise RuntimeError(
                "Error building extension: standalone executables are not built here."
            )
        paths = [Path(source) for source in _texts(sources)]
        own, foreign = _include_paths(extra_include_paths)
        own |= {path.resolve().parent for path in paths}
        request = BuildRequest(
            name=name,
            cpp_sources=tuple(
                p.read_text(encoding="utf-8") for p in paths if p.suffix not in _CUDA_SUFFIXES
            ),
            cuda_sources=tuple(
                p.read_text(encoding="utf-8") for p in paths if p.suffix in _CUDA_SUFFIXES
            ),
            extra_cflags=_texts(extra_cflags),
            extra_cuda_cflags=_texts(extra_cuda_cflags),
            extra_ldflags=_texts(extra_ldflags),
            extra_include_paths=foreign,
            headers=_headers(own),
            with_cuda=with_cuda,
            no_implicit_headers=True,
            is_python_module=is_python_module,
        )
        return self._loaded(request)

    def _loaded(self, request: BuildRequest) -> ModuleType | str:
        built = self._build(request)
        if isinstance(built, Rejected):
            raise RuntimeError(f"Error building extension '{request.name}': {built.log}")  # noqa: TRY004 - as torch does
        if not request.is_python_module:
            torch.ops.load_library(built.path)
            return built.path
        return self._load(built)


def import_extension(artifact: Artifact) -> ModuleType:
    """Import a built extension; every call gives a module of its own."""
    loader = importlib.machinery.ExtensionFileLoader(artifact.module, artifact.path)
    spec = importlib.util.spec_from_file_location(artifact.module, artifact.path, loader=loader)
    if spec is None:
        raise ImportError(f"{artifact.path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _texts(given: str | Iterable[str] | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _functions(given: str | Sequence[str] | dict[str, str] | None) -> dict[str, str] | None:
    if given is None or isinstance(given, dict):
        return given
    if isinstance(given, str):
        return {given: given}
    if isinstance(given, list):
        return {name: name for name in given}
    raise ValueError(f"Expected 'functions' to be a list or dict, but was {type(given)}")


def _refuse_sycl(sources: object, flags: object, with_sycl: object) -> None:
    if sources or flags or with_sycl:
        raise RuntimeError("Error building extension: SYCL sources are not built here.")


def _include_paths(given: Sequence[str] | str | None) -> tuple[set[Path], tuple[str, ...]]:
    """Split into folders below the candidate's own, to be captured, and the rest, to be named."""
    here = Path.cwd()
    paths = [Path(text).resolve() for text in _texts(given) if str(text).strip()]
    own = {path for path in paths if path.is_relative_to(here)}
    return own, tuple(str(path) for path in paths if path not in own)


def _headers(folders: Iterable[Path]) -> dict[str, str]:
    """Every header below those folders, as an `#include` would spell it."""
    headers: dict[str, str] = {}
    room = _MAX_HEADER_BYTES
    for folder in sorted(folders):
        for path in sorted(folder.rglob("*")):
            if path.suffix not in _HEADER_SUFFIXES or not path.is_file():
                continue
            room -= path.stat().st_size
            if room < 0:
                raise RuntimeError(
                    f"Error building extension: the headers in {folder} exceed "
                    f"{_MAX_HEADER_BYTES} bytes."
                )
            headers.setdefault(str(path.relative_to(folder)), path.read_text(encoding="utf-8"))
    return headers
