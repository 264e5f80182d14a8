"""Owns whose fault a failed light build is: a gap of the stand-in, or the candidate's own mistake.

What follows from it (torch's own build, or the compiler's text to the author) is left to the caller.
"""

import re

from refine_agent.builder.records import BuildRequest
from refine_agent.builder.sources import bindable, without_comments
from refine_agent.builder.toolchain import Toolchain

# What only torch's own build can do; found before anything is compiled.
_OWN_BINDINGS = re.compile(r"\b(PYBIND11_MODULE|TORCH_LIBRARY\w*|STABLE_TORCH_LIBRARY\w*|PyInit_\w+|PYBIND11_\w+)\b")
_PYTHON_API = re.compile(r"\b(pybind11::|py::\w|Py_\w+|PyObject)|#\s*include\s*[<\"](?:pybind11/|Python\.h|torch/csrc/utils/pybind)")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]((?:torch|ATen|c10|caffe2)/[^>"\n]+)[>"]', re.MULTILINE)

# Compiler messages about a name that is not there. Group "name" is what is missing.
_MISSING = [
    re.compile(r"error: .*?has no member (?:named )?[‘'\"](?:class |struct )?(?P<name>~?\w+)[’'\"]"),
    re.compile(r"error: (?:namespace|class|enum|struct) \"[^\"]*\"(?: \([^)]*\))* has no (?:actual )?member(?: class)? \"(?P<name>\w+)\""),
    re.compile(r"error: [‘'](?P<name>\w+)[’'] (?:is not a member of|was not declared|has not been declared|in namespace|does not name)"),
    re.compile(r"error: identifier \"(?P<name>[\w:]+)\" is undefined"),
    re.compile(r"error: [‘'](?P<name>\w+)[’'] is not a (?:class|type|member)"),
    re.compile(r"error: .*?[‘'](?P<name>\w+)[’'] in (?:namespace|class|struct) [‘'][^’']*[’'] does not name a"),
    re.compile(r"error: no (?:instance of|matching|suitable) .*?(?:call to|function template|overloaded function|constructor) [‘'\"](?P<name>[\w:~<>]+)"),
    re.compile(r"error: [‘'](?P<name>\w+)[’'] is not a member"),
    re.compile(r"error: name followed by \"::\" must be a class or namespace name"),
]  # fmt: skip
_TORCH_TYPE = re.compile(r"\b(?:at|torch|c10|caffe2)::|\"?\bTensor\b")
_OWN_TYPE = re.compile(r"c10::ra::|\bra_\w+|\bRA_[A-Z]|light/[\w.]+|ra: the light bindings")
_MISSING_FILE = re.compile(r"fatal error: (?P<file>(?:torch|ATen|c10|caffe2)/\S+?): No such file")
_INCOMPLETE = re.compile(r"incomplete type [‘'\"](?:class |struct )?(?:const )?(?P<name>(?:at|torch|c10)::[\w:<>]+)")
_ERROR = re.compile(r"\berror\b")


def gap_before_building(request: BuildRequest, toolchain: Toolchain) -> str | None:
    """Why the light headers cannot even be tried, or None."""
    source = "\n".join((*request.cpp_sources, *request.cuda_sources, *request.headers.values()))
    bare = without_comments(source)
    if found := _OWN_BINDINGS.search(bare):
        return f"explicit {found.group(1)}"
    if _PYTHON_API.search(source):
        return "uses Python's or pybind11's own API"
    if request.functions is not None and not bindable(request.functions):
        return "binds a name that is not a plain identifier"
    if not request.is_python_module:
        return "is not a Python module"
    for include in _INCLUDE.findall(source):
        if not (toolchain.include / include).exists() and not include.startswith("ATen/ops/"):
            return f"includes {include}"
    return None


def gap_in(log: str, toolchain: Toolchain) -> str | None:
    """What the light headers lack, going by the compilers' errors; None: the candidate is wrong.

    A name that no header of torch mentions is missing from torch as well, so its error stands.
    """
    for line in log.splitlines():
        if not _ERROR.search(line):
            continue
        if found := _MISSING_FILE.search(line):
            return f"includes {found['file']}"
        if _OWN_TYPE.search(line):
            return f"the stand-in itself: {line.strip()[:160]}"
        if found := _INCOMPLETE.search(line):
            return f"lacks {found['name']}"
        missing = _missing_name(line)
        if missing is not None and toolchain.knows(missing) and _concerns_torch(line, missing):
            return f"lacks {missing}"
    return None


def _missing_name(line: str) -> str | None:
    for pattern in _MISSING:
        if (found := pattern.search(line)) and "name" in pattern.groupindex:
            return found["name"].rpartition("::")[2].partition("<")[0]
    return None


def _concerns_torch(line: str, name: str) -> bool:
    """Whether the missing name would have come from torch: qualified as such, or one of its macros."""
    return bool(_TORCH_TYPE.search(line)) or name.startswith(("AT_", "TORCH_", "C10_", "CUDA_", "THO_", "MEMORY_"))
