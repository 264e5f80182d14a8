"""Owns the text that a candidate's translation units become on the light headers.

Which headers and wrappers a unit gets is decided by the names it uses. Compiling is left to `light_build`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from refine_agent.builder.operators import Operators, names_in
from refine_agent.builder.records import BuildRequest

_COMMENTS_AND_STRINGS = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)

# What torch/extension.h brings along without being asked, and only costs time where it is not used.
_STANDARD_HEADERS = {
    "algorithm": "sort stable_sort transform reverse fill fill_n copy copy_n find find_if count count_if any_of all_of "
    "none_of for_each generate iota_n max_element min_element minmax minmax_element nth_element partial_sort "
    "lower_bound upper_bound binary_search unique remove_if shuffle rotate clamp merge partition replace equal "
    "swap_ranges is_sorted set_intersection set_union max min",
    "numeric": "accumulate iota inner_product partial_sum reduce adjacent_difference gcd lcm exclusive_scan inclusive_scan",
    "cmath": "exp log sqrt pow tanh tan sin cos fabs abs floor ceil round fmax fmin isnan isinf erf log1p expm1 fma cbrt "
    "isfinite log2 exp2 rsqrt lround nearbyint trunc fmod hypot sinh cosh atan2 atan asin acos tgamma lgamma copysign",
    "iostream": "cout cerr endl clog cin",
    "sstream": "ostringstream stringstream istringstream",
    "iomanip": "setprecision setw setfill fixed",
    "fstream": "ifstream ofstream fstream",
    "functional": "function bind plus multiplies hash reference_wrapper ref cref greater less",
    "memory": "unique_ptr shared_ptr make_unique make_shared weak_ptr",
    "map": "map multimap",
    "unordered_map": "unordered_map",
    "set": "set multiset",
    "unordered_set": "unordered_set",
    "array": "array",
    "mutex": "mutex lock_guard unique_lock once_flag call_once scoped_lock recursive_mutex",
    "thread": "thread this_thread",
    "atomic": "atomic atomic_flag memory_order memory_order_relaxed",
    "chrono": "chrono",
    "random": "mt19937 mt19937_64 uniform_real_distribution normal_distribution uniform_int_distribution random_device",
    "complex": "complex",
    "queue": "queue priority_queue",
    "deque": "deque",
    "list": "list forward_list",
    "stack": "stack",
    "bitset": "bitset",
    "condition_variable": "condition_variable",
    "future": "future async promise",
    "variant": "variant visit get_if holds_alternative monostate",
    "any": "any any_cast",
    "regex": "regex",
    "cassert": "assert",
    "climits": "INT_MAX INT_MIN LONG_MAX UINT_MAX CHAR_BIT",
    "cfloat": "FLT_MAX DBL_MAX FLT_MIN FLT_EPSILON DBL_EPSILON",
}  # fmt: skip
_HEADER_OF = {name: header for header, names in _STANDARD_HEADERS.items() for name in names.split()}
# The parts of the light headers that only some candidates need, by the names that call for them.
_PARTS = {
    "RA_USES_HALF": re.compile(r"half|bfloat16|bf16|float16|fp16|Half|BFloat16|_AND\w*|REDUCED_FLOATING|DISPATCH_V2|ALL_TYPES_AND", re.IGNORECASE),
    "RA_USES_FLOAT8": re.compile(r"Float8|fp8", re.IGNORECASE),
    "RA_USES_COMPLEX": re.compile(r"complex", re.IGNORECASE),
    "RA_USES_DISPATCH": re.compile(r"AT_DISPATCH_\w+|AT_PRIVATE\w+|THO_DISPATCH\w+|AT_WRAP|AT_EXPAND|AT_\w+_TYPES\w*"),
    "RA_USES_INDEXING": re.compile(r"indexing|Slice|TensorIndex|index_put_|index"),
    "RA_USES_LITERALS": re.compile(r"tensor|from_blob"),
    "RA_USES_PARALLEL": re.compile(r"parallel_\w+|get_num_threads|set_num_threads|in_parallel_region|get_thread_num|divup|intraop_\w+|GRAIN_SIZE"),
    "RA_USES_MODES": re.compile(r"NoGradGuard|AutoGradMode|GradMode|manual_seed|DeviceGuard|OptionalDeviceGuard"),
    "RA_USES_TORCH_CUDA": re.compile(r"cuda"),
    "RA_USES_CUBLAS": re.compile(r"cublas\w*|getCurrentCUDABlas\w*|CUBLAS\w*|TORCH_CUDABLAS_CHECK"),
    "RA_USES_CUBLASLT": re.compile(r"cublasLt\w*|CUBLASLT\w*|getCurrentCUDABlasLtHandle"),
    "RA_USES_CUSPARSE": re.compile(r"cusparse\w*|getCurrentCUDASparseHandle"),
    "RA_USES_CUSOLVER": re.compile(r"cusolver\w*"),
    "RA_USES_STREAMS": re.compile(r"\w*stringstream|cout|cerr|ostream|clog"),
    "RA_USES_MAPS": re.compile(r"map|unordered_map"),
}  # fmt: skip


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One translation unit, as files to write below the build folder."""

    file: str
    include: str
    """The folder that holds this unit's `candidate/` headers."""
    texts: dict[str, str]


def units_of(request: BuildRequest, operators: Operators) -> list[Unit]:
    """The units torch would compile: main.cpp with the bindings, and cuda.cu if there is CUDA."""
    implicit = not request.no_implicit_headers
    cpp_head = ["#include <torch/extension.h>"] if implicit else []
    cuda_head = (
        ["#include <torch/types.h>", "#include <cuda.h>", "#include <cuda_runtime.h>"]
        if implicit
        else []
    )
    joined_headers = "\n".join(request.headers.values())
    cpp = "\n".join(request.cpp_sources)
    cuda = "\n".join(request.cuda_sources)
    units = [_unit("main.cpp", "cpp_source", cpp, head=cpp_head, tail=_bindings(request.functions or {}),
                   names_from=cpp + joined_headers, operators=operators, cuda=request.uses_cuda)]  # fmt: skip
    if request.cuda_sources:
        units.append(_unit("cuda.cu", "cuda_source", cuda, head=cuda_head, tail="",
                           names_from=cuda + joined_headers, operators=operators, cuda=True))  # fmt: skip
    return units


def write_unit(unit: Unit, folder: Path) -> None:
    """Write a unit's files."""
    for name, text in unit.texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def write_headers(headers: Mapping[str, str], folder: Path) -> None:
    """Write the candidate's own headers where an `#include` finds them."""
    for name, text in headers.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def without_comments(source: str) -> str:
    """The source with comments and strings blanked, so that their words call for nothing."""
    return _COMMENTS_AND_STRINGS.sub(" ", source)


def _unit(file: str, label: str, source: str, *, head: Sequence[str], tail: str, names_from: str,
          operators: Operators, cuda: bool) -> Unit:  # fmt: skip
    names = names_in(without_comments(names_from))
    wrappers = operators.wrappers(names)
    include = f"for_{label}"
    text = "\n".join(
        [
            "#include <candidate/prelude.h>",
            *head,
            f'#line 1 "{label}"',
            source,
            '#line 1 "bindings"',
            tail,
            "",
        ]
    )
    return Unit(file=file, include=include, texts={
        file: text,
        label: source + "\n",
        f"{include}/candidate/prelude.h": _prelude(names, cuda=cuda),
        f"{include}/candidate/methods.h": wrappers.methods,
        f"{include}/candidate/functions.h": wrappers.functions,
        f"{include}/candidate/factories.h": wrappers.factories,
    })  # fmt: skip


def _prelude(names: set[str], *, cuda: bool) -> str:
    parts = [
        part
        for part, called_by in _PARTS.items()
        if any(called_by.fullmatch(n) or (part == "RA_USES_HALF" and called_by.search(n)) for n in names)
    ]
    if cuda:
        parts.append("RA_USES_CUDA")
    headers = sorted({_HEADER_OF[name] for name in names if name in _HEADER_OF})
    return "".join(
        [
            "#pragma once\n",
            *(f"#define {part} 1\n" for part in parts),
            *(f"#include <{header}>\n" for header in headers),
        ]
    )


def _bindings(functions: Mapping[str, str]) -> str:
    if not functions:
        return ""
    docs = [f'static const char ra_doc_{name}[] = "{doc}";' for name, doc in functions.items()]
    entries = [f"RA_ENTRY({name})" for name in functions]
    records = ", ".join(f"*ra_record_{name}()" for name in functions)
    return "\n".join(
        [
            "#include <light/bind.h>",
            *docs,
            *entries,
            f"#define RA_RECORDS {records}",
            "RA_MODULE(TORCH_EXTENSION_NAME)",
        ]
    )


def bindable(functions: Mapping[str, str]) -> bool:
    """Whether every function is a plain name; `ns::f` is left to torch's own bindings."""
    return all(_IDENTIFIER.match(name) for name in functions)
