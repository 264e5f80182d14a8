"""Owns whose fault a failed light build is: a gap of the stand-in, or the candidate's own mistake.

What follows from it is left to the caller: torch's own build, or the text to its author.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from refine_agent.builder.headers import is_of_torch
from refine_agent.builder.records import BuildRequest
from refine_agent.builder.sources import bindable, calls_for_pybind11, without_comments
from refine_agent.builder.toolchain import Names, Toolchain

# What only torch's own build can do; found before anything is compiled.
_OWN_BINDINGS = re.compile(r"\b(TORCH_LIBRARY\w*|STABLE_TORCH_LIBRARY\w*|PyInit_\w+)\b")
# Parts of torch that are C++ of their own, which no stand-in will ever hold.
_BEYOND = re.compile(
    r"\b((?:torch|at|c10)::(?:autograd|data|distributed|dynamo|fft|functorch|inductor|jit|linalg"
    r"|meta|mps|nested|nn|optim|profiler|serialize|sparse|special|utils|vec|xpu))\b"
)

# Sizes are plain integers here, and have no methods.
_SYMBOLIC = re.compile(
    r"\.\s*(guard_int|expect_int|maybe_as_int|is_symbolic|guard_size_oblivious)\b"
)
_BOUND_OBJECT = re.compile(
    r"^(?:(?:static|inline|const)\s+)*(?:auto|std::function<[^;={}]*>)\s+(\w+)\s*[={]", re.MULTILINE
)

# Errors about a member that a class has not; the groups are the class and the member.
_NO_MEMBER = (
    re.compile(r"(?:class|struct) \"(?P<owner>[^\"]+)\"[^\"]* has no member \"(?P<name>\w+)\""),
    re.compile(
        r"'(?:const )?(?:class|struct) (?P<owner>[^']+)' has no member named '(?P<name>\w+)'"
    ),
)
# Errors about a name that a namespace has not, or that nobody has.
_ABSENT = (
    re.compile(
        r"namespace \"(?P<owner>[^\"]+)\" has no (?:actual )?member(?: class)? \"(?P<name>\w+)"
    ),
    re.compile(r"'(?P<name>\w+)' is not a (?:member of|class|type|template|namespace)"),
    re.compile(r"'(?P<owner>[\w:]+)::(?P<name>\w+)' has not been declared"),
    re.compile(r"'(?P<name>\w+)' (?:was not declared|has not been declared)"),
    re.compile(r"'(?P<name>\w+)' in (?:namespace|class|struct) '[^']*' does not name"),
    re.compile(r"identifier \"(?P<name>\w+)\" is undefined"),
)
# Errors about a name that is there, but not for these arguments.
_UNMATCHED = (
    re.compile(r"no matching function for call to '(?:[\w:]+::)?(?P<name>\w+)(?:<[^']*>)?\("),
    re.compile(r"no instance of [a-z ]+ \"(?:[\w:]+::)?(?P<name>\w+)(?:<[^\"]*>)?\" matches"),
)
# Of what the light headers write by hand, what may lack an overload that torch has.
_APPROXIMATE = re.compile(
    r"tensor|from_blob|index|index_put_|Slice|TensorIndex|CUDA\w*Guard|OptionalCUDA\w*|CUDAEvent"
    r"|CUDAStream|getStreamFromPool|\w*DeviceGuard|irange|parallel_\w+|makeArrayRef|SmallVector"
    r"|MaybeOwned|backward|record_stream|List|Half|BFloat16|expand_(?:in|out)place|expand_size"
    r"|set\w+CuBLAS|CUDAGraph|capture_begin"
)
# torch prints more of its types than the light headers do.
_UNPRINTED = re.compile(
    r"no match for 'operator<<' \(operand types are '[^']*' and '(?:const )?"
    r"((?:at|torch|c10|caffe2)::[\w:<>]+)"
)
_TORCH = re.compile(r"\b(?:at|torch|c10|caffe2)(?:::|\b)|\bTensor\b")
_OWN_PLACE = re.compile(
    r"^light/|^for_\w+_source/candidate/|the light bindings do not know|c10::ra::(?!Bound|Python)"
)
_MISSING_FILE = re.compile(
    r"(?:fatal error|cannot open source file):? \"?(?P<file>(?:torch|ATen|c10|caffe2)/[\w./-]+)"
)
# What torch's headers complete, or bring along; of the system's it depends on Python's version.
_INCOMPLETE = re.compile(
    r"incomplete type ['\"](?:class |struct )?(?:const )?((?:at|torch|c10|std)::[\w:<>]+)"
    r"|'(?:const )?(std::\w+)[^']*' has (?:initializer but )?incomplete type"
    r"|incomplete type ['\"](?:struct )?(?:[^'\"]*::)?(stat)['\"]"
    r"|'(?:[^']*::)?(stat) \w+' has incomplete type"
    r"|'(gettimeofday|sem_\w+)' was not declared"
)
# What a header of torch's may have brought along; few authors name what nobody has.
_OF_STD = re.compile(
    r"'(\w+)' is not a member of 'std(?:::\w+)*'"
    r"|namespace \"std(?:::\w+)*\" has no (?:actual )?member \"(\w+)\""
)
# nvcc quotes the line instead of naming the namespace that is not there.
_NO_SCOPE = re.compile(r"name followed by \"::\" must be a class or namespace name")
_SCOPES = re.compile(r"\b(?:at|torch|c10|caffe2)::((?:\w+::)+)")
_ERROR = re.compile(r"\berror\b")


def gap_before_building(request: BuildRequest, toolchain: Toolchain) -> str | None:
    """Why the light headers cannot even be tried, or None."""
    source = "\n".join((*request.cpp_sources, *request.cuda_sources, *request.headers.values()))
    return toolchain.unfit or _gap_of_bindings(request, source, toolchain)


def _gap_of_bindings(request: BuildRequest, source: str, toolchain: Toolchain) -> str | None:
    bare = without_comments(source)
    if found := _OWN_BINDINGS.search(bare):
        return f"explicit {found.group(1)}"
    if found := _BEYOND.search(bare) or _SYMBOLIC.search(bare):
        return f"uses {found.group(1)}"
    if (wanted := calls_for_pybind11(request)) is not None and not toolchain.pybind11.exists():
        return wanted
    if request.functions is not None and not bindable(request.functions):
        return "binds a name that is not a plain identifier"
    if objects := (request.functions or {}).keys() & set(_BOUND_OBJECT.findall(bare)):
        return f"binds {min(objects)}, which is an object"
    return None if request.is_python_module else "is not a Python module"


def gap_in(log: str, toolchain: Toolchain, unforeseen: Iterable[str] = ()) -> str | None:
    """What the light headers lack, going by the compilers' errors; None: the candidate is wrong.

    A name that no header of torch mentions is missing from torch as well, so its error stands.
    A name that the light headers do have is missing for want of an include, as it would be there.
    And the overloads of operators are torch's own: a call that fits none of them fits none there.
    Where something stood in for headers that were not foreseen, nobody can tell.
    """
    lines = log.splitlines()
    for line, quoted in zip(lines, [*lines[1:], ""], strict=True):
        if _ERROR.search(line) and (gap := _gap_of(line, quoted, toolchain)) is not None:
            return gap
    return next((f"includes {name}" for name in unforeseen), None)


def _gap_of(line: str, quoted: str, toolchain: Toolchain) -> str | None:
    if found := _MISSING_FILE.search(line):
        there = is_of_torch(found["file"], Path(toolchain.facts.package) / "include")
        return f"includes {found['file']}" if there else None
    if _OWN_PLACE.search(line):
        return f"the stand-in itself: {line.strip()[:200]}"
    if found := _INCOMPLETE.search(line):
        return f"lacks {found[found.lastindex or 0]}"
    if found := _UNPRINTED.search(line):
        return f"does not print {found.group(1)}"
    if _NO_SCOPE.search(line):
        return _gap_of_scopes(quoted, toolchain.names())
    return _gap_of_a_name(line, toolchain.names())


def _gap_of_scopes(quoted: str, names: Names) -> str | None:
    for found in _SCOPES.finditer(quoted):
        if set(found[1].split("::")) <= names.torch | {""}:
            return f"lacks {found[0].removesuffix('::')}"
    return None


def _gap_of_a_name(line: str, names: Names) -> str | None:
    if found := _first(_NO_MEMBER, line):
        if found["owner"].startswith("pybind11::"):
            return f"lacks {found['owner']}::{found['name']}"
        theirs = names.tensor if found["owner"] == "at::Tensor" else names.torch
        of_torch = _TORCH.match(found["owner"]) and found["name"] in theirs
        return f"lacks {found['owner']}::{found['name']}" if of_torch else None
    if found := _OF_STD.search(line):
        return f"lacks std::{found[1] or found[2]}"
    if found := _first(_ABSENT, line):
        concerns_torch = _TORCH.search(line) or found["name"] in names.macros
        lacking = found["name"] in names.torch and found["name"] not in names.light
        return f"lacks {found['name']}" if concerns_torch and lacking else None
    if (found := _first(_UNMATCHED, line)) and _APPROXIMATE.fullmatch(found["name"]):
        return f"lacks an overload of {found['name']}"
    return None


def _first(patterns: tuple[re.Pattern[str], ...], line: str) -> re.Match[str] | None:
    return next((found for each in patterns if (found := each.search(line)) is not None), None)
