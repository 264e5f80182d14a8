"""Owns one stock extension that holds many C++ candidates: torch's headers are parsed once for all.

Each candidate is a namespace and a submodule, so that names and messages stay its own.
"""

import re
from types import ModuleType

from refine_agent.builder import Artifact, BuildRequest, Rejected
from refine_agent.worker.load_inline import import_extension

_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[^\n]*$", re.MULTILINE)
_MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)


def batched(requests: list[BuildRequest]) -> BuildRequest:
    """One request that binds what all of them bind."""
    includes: list[str] = []
    bodies: list[str] = []
    for request in requests:
        source = _with_own_headers(request)
        includes += _INCLUDE.findall(source)
        body = ["namespace " + request.name + " {", '#line 1 "cpp_source"']
        body += [_INCLUDE.sub("", source), "}"]
        body += [f"#undef {name}" for name in _MACRO.findall(source)]
        bodies.append("\n".join(body))
    # A module that a candidate defines itself becomes a function that fills its submodule.
    own = ['#pragma push_macro("PYBIND11_MODULE")', "#undef PYBIND11_MODULE"]
    own += ["#define PYBIND11_MODULE(name, m) static void ra_define(pybind11::module_& m)"]
    bodies = [*own, *bodies, '#pragma pop_macro("PYBIND11_MODULE")']
    module = ["PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {", *map(_submodule, requests), "}"]
    return BuildRequest(
        name="batch",
        cpp_sources=("\n".join([*dict.fromkeys(includes), *bodies, *module]),),
        extra_cflags=("-O1", "-fopenmp"),
        extra_ldflags=("-fopenmp",),
    )


class Batch:
    """Answers `build` and `load` for candidates that were built together."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._module = import_extension(artifact)

    def build(self, request: BuildRequest) -> Artifact | Rejected:
        """The one artifact, under the candidate's own name."""
        return Artifact(
            module=request.name,
            path=self._artifact.path,
            digest=self._artifact.digest,
            flavour="stock",
            why_stock=None,
            seconds=0,
            cached=True,
            log="",
        )

    def load(self, artifact: Artifact) -> ModuleType:
        """The candidate's submodule."""
        submodule: ModuleType = getattr(self._module, artifact.module)
        return submodule


def _with_own_headers(request: BuildRequest) -> str:
    source = "\n".join(request.cpp_sources)
    for name, text in request.headers.items():
        source = source.replace(f'#include "{name}"', text.replace("#pragma once", ""))
    return source


def _submodule(request: BuildRequest) -> str:
    name = request.name
    lines = ["{", f'auto sub = m.def_submodule("{name}"); sub.attr("__name__") = "{name}";']
    if request.functions is None:
        lines.append(f"{name}::ra_define(sub);")
    for function, doc in (request.functions or {}).items():
        bound = f"torch::wrap_pybind_function({name}::{function})"
        lines.append(f'sub.def("{function}", {bound}, "{doc}");')
    return "\n".join([*lines, "}"])
