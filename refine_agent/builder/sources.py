"""Owns the text that a candidate's translation units become on the light headers.

Which headers and wrappers a unit gets is decided by the names it uses. Compiling is left to
`light_build`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from refine_agent.builder.operators import Operators, names_in
from refine_agent.builder.records import BuildRequest

# Raw strings come before the others, and numbers before characters: 1'000'000 holds none.
_COMMENTS_AND_STRINGS = re.compile(
    r"//(?:[^\\\n]|\\.)*|/\*.*?\*/"
    r'|(?<!\w)(?:u8|[uUL])?R"(?P<end>[^()\\\s]{0,16})\(.*?\)(?P=end)"|"(?:[^"\\\n]|\\.)*"'
    r"|(?<![\w'])\d[\w.]*(?:'[\w.]+)+|'(?:[^'\\\n]|\\[^\n]){1,10}'",
    re.DOTALL,
)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)

# What torch's headers bring along without being asked, and only costs time where it is not used.
_STANDARD_HEADERS = {
    "algorithm": """adjacent_find copy_if equal_range find_first_of find_if_not for_each_n
        generate_n includes inplace_merge is_heap is_sorted_until make_heap next_permutation
        partial_sort_copy partition_copy partition_point pop_heap prev_permutation push_heap ranges
        remove_copy_if replace_if reverse_copy rotate_copy sample search set_difference
        set_intersection set_union sort_heap stable_partition unique_copy all_of any_of
        binary_search clamp copy copy_n count count_if equal fill fill_n find find_if
        for_each generate is_sorted lower_bound max_element merge min_element minmax
        minmax_element none_of nth_element partial_sort partition remove_if replace reverse
        rotate shuffle sort stable_sort swap_ranges transform unique upper_bound""",
    "array": "array",
    "atomic": "atomic atomic_flag memory_order memory_order_relaxed",
    "bitset": "bitset",
    "cassert": "assert",
    "chrono": "chrono",
    "climits": "CHAR_BIT INT_MAX INT_MIN LONG_MAX UINT_MAX",
    "cmath": """abs acos asin atan atan2 cbrt ceil copysign cos cosh erf exp exp2 expm1 fabs floor
        fma fmax fmin fmod hypot isfinite isinf isnan lgamma log log1p log2 lround nearbyint pow
        round rsqrt sin sinh sqrt tan tanh tgamma trunc erfc fdim float_t fpclassify frexp
        ilogb isgreater isnormal ldexp llround log10 logb lrint modf nan nextafter remainder
        rint signbit acosf asinf atan2f atanf cbrtf ceilf copysignf cosf coshf erfcf erff
        exp2f expf expm1f fabsf floorf fmaf fmaxf fminf fmodf hypotf ldexpf lgammaf log10f
        log1pf log2f logf lrintf lroundf nearbyintf powf rintf roundf sinf sinhf sqrtf tanf
        tanhf tgammaf truncf HUGE_VAL HUGE_VALF INFINITY NAN M_1_PI M_2_SQRTPI M_E M_LN2
        M_LOG2E M_PI M_PI_2 M_SQRT1_2 M_SQRT2""",
    "cinttypes": "PRId32 PRId64 PRIu32 PRIu64 PRIx32 PRIx64",
    "complex": "complex conj imag norm polar real",
    "condition_variable": "condition_variable",
    "deque": "deque",
    "functional": """invoke mem_fn not_fn bind cref function greater hash less multiplies plus ref
        reference_wrapper""",
    "iomanip": "put_time quoted fixed setfill setprecision setw",
    "iostream": "cerr cin clog cout endl flush",
    "list": "forward_list list",
    "map": "map multimap",
    "memory": """align assume_aligned default_delete dynamic_pointer_cast enable_shared_from_this
        static_pointer_cast make_shared make_unique shared_ptr unique_ptr weak_ptr""",
    "mutex": """lock timed_mutex try_lock call_once lock_guard mutex once_flag recursive_mutex
        scoped_lock unique_lock""",
    "numeric": """adjacent_difference exclusive_scan inclusive_scan transform_exclusive_scan
        transform_inclusive_scan transform_reduce accumulate gcd inner_product iota lcm
        partial_sum reduce""",
    "queue": "priority_queue queue",
    "set": "multiset set",
    "span": "span",
    "typeindex": "type_index",
    "sstream": "istringstream ostringstream stringstream",
    "stack": "stack",
    "thread": "this_thread thread",
    "unordered_map": "unordered_map unordered_multimap",
    "unordered_set": "unordered_set",
    "valarray": "valarray",
    "variant": "get_if holds_alternative monostate variant visit",
}
_HEADER_OF = {name: header for header, names in _STANDARD_HEADERS.items() for name in names.split()}
_STD_NAME = re.compile(r"\bstd\s*::\s*(\w+)")
# These are used without std:: as well.
_C_HEADERS = frozenset(("cassert", "cinttypes", "climits", "cmath"))
# What only one of the two compilers is shown: x86's instructions come with torch's clock in C++,
# and the rest with thrust's complex numbers, which torch's are in CUDA.
_INTRINSIC = re.compile(
    r"_mm\d*_\w+|__m(?:64|128|256|512)\w*|_MM_\w+|__mmask\d+|__rdtscp?|_cvt(?:sh_ss|ss_sh)"
    r"|_(?:pdep|pext|tzcnt|lzcnt|bzhi|popcnt)_?u?(?:32|64)"
)
_LIMIT = re.compile(r"(?:FLT|DBL|LDBL)_[A-Z]\w*|DECIMAL_DIG")
_SMALL_FLOAT = re.compile(r"__nv_(fp[468])\w+")
_CUDA_STD = re.compile(r"\bcuda\s*::\s*std\b")
_HAS_CUDA_STD = re.compile(r"#\s*include\s*<(?:cuda|cub|thrust)/")
_OF_PYBIND = re.compile(r"\bpy\s*::")
# Of pybind11 the light headers have what defines a module of functions; for the rest there is
# pybind11 itself, which takes a second to read.
_PYTHON_API = re.compile(
    r"\b((?:pybind11|py)::(?!(?:arg|arg_v|call_guard|gil_scoped_release|literals|module_?|none)\b)\w+"
    r"|using\s+namespace\s+(?:pybind11|py)(?=\s*;)|wrap_pybind_function|PYBIND11_(?!MODULE\b)\w+"
    r"|Py_\w+|PyObject|def_submodule|noconvert)\b"
)
_PYTHON_INCLUDE = re.compile(
    r'^[ \t]*#[ \t]*include[ \t]*[<"](Python\.h|pybind11/(?!pybind11\.h|stl\.h)[\w/]+\.h)',
    re.MULTILINE,
)
_DEFINED = re.compile(r'\.\s*def\s*\(\s*"(\w+)"')
_OF_A_LIST = re.compile(r"\b(?:max|min)\s*(?:<\w+>)?\s*\(\s*\{")
# The parts of the light headers that only some candidates need, and the names that call for them.
_PARTS = {
    part: re.compile(pattern)
    for part, pattern in {
        "RA_USES_HALF": r"(?i:.*(?:half|bfloat16|bf16|float16|fp16|all_types|reduced_floating"
        r"|floating_types_and).*)|AT_DISPATCH_V2",
        "RA_USES_FLOAT8": r"(?i:.*(?:float8|fp8).*)",
        "RA_USES_COMPLEX": r"(?i:.*complex.*)",
        "RA_USES_DISPATCH": r"(?:AT|THO)_(?:DISPATCH|PRIVATE|WRAP|EXPAND)\w*|AT_\w+_TYPES\w*",
        "RA_USES_INDEXING": r"indexing|Slice|TensorIndex|index_put_|index",
        "RA_USES_LITERALS": r"tensor|from_blob",
        "RA_USES_PARALLEL": r"parallel_\w+|[gs]et_num_threads|in_parallel_region|get_thread_num"
        r"|divup|GRAIN_SIZE|omp_\w+",
        "RA_USES_MODES": r"\w*GradGuard|\w*GradMode|manual_seed|\w*DeviceGuard|InferenceMode"
        r"|AutoDispatchBelow\w+|AutoNonVariableTypeMode",
        "RA_USES_GENERATORS": r"\w*[gG]enerator\w*|\w*[pP]hilox\w*|CUDAGraphsUtils",
        "RA_USES_CONTEXT": r"globalContext|hasCUDA|Float32MatmulPrecision",
        "RA_USES_TENSOR_ARGS": r"Tensor(?:Geometry)?Arg|CheckedFrom|check_dim_size|maybe_data_ptr"
        r"|check(?:All)?(?:Same)?(?:Contiguous|Defined|DeviceType|Dim|DimRange|GPU|Layout|Numel"
        r"|ScalarTypes?|Size|Type)",
        "RA_USES_EXPAND": r"infer_size\w*|are_expandable|is_expandable_to|expand_(?:in|out)place"
        r"|expand_size|sum_to",
        "RA_USES_CUDA_GRAPH": r"CUDAGraph|graph_pool_handle",
        "RA_USES_TORCH_CUDA": r"cuda",
        "RA_USES_CUBLAS": r"(?i:cublas)(?!Lt)\w*|getCurrentCUDABlasHandle|TORCH_CUDABLAS_CHECK",
        "RA_USES_CUDNN": r"AT_CUDNN_CHECK",
        "RA_USES_CUBLASLT": r"(?i:cublasLt)\w*|getCurrentCUDABlasLtHandle",
        "RA_USES_CUSPARSE": r"cusparse\w*|getCurrentCUDASparseHandle",
        "RA_USES_CUSOLVER": r"cusolver\w*",
        "RA_USES_STREAMS": r"\w*stringstream|cout|cerr|clog|ostream",
        "RA_USES_MAPS": r"map|unordered_map",
        "RA_USES_PYBIND": r"PYBIND11_\w+|pybind11|wrap_pybind_function|py|Py_\w+|PyObject",
    }.items()
}


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """One translation unit, as files to write below the build folder."""

    file: str
    include: str
    """The folder that holds this unit's `candidate/` headers."""
    texts: dict[str, str]

    @property
    def is_device_code(self) -> bool:
        """Whether it is nvcc's to compile."""
        return self.file.endswith(".cu")


def units_of(
    request: BuildRequest,
    operators: Operators,
    *,
    home: Path,
    unforeseen: Mapping[str, str] | None = None,
) -> list[Unit]:
    """The units torch would compile: main.cpp with the bindings, and cuda.cu if there is CUDA.

    Device code says that its lines are those of `home/cuda_source`, where profilers find them.
    `unforeseen` are headers of torch's that no light one stands for, with what answers them.
    """
    headers = "\n".join(request.headers.values())
    cpp = _Source(
        label="cpp_source",
        text="\n".join(request.cpp_sources),
        lines_of="cpp_source",
        implicit=("torch/extension.h",),
        bindings=_bindings(request),
    )
    cuda = _Source(
        label="cuda_source",
        text="\n".join(request.cuda_sources),
        lines_of=f"{home}/cuda_source",
        implicit=("torch/types.h", "cuda.h", "cuda_runtime.h"),
        bindings="",
    )
    units = [
        _unit(source, request, operators, headers)
        for source in ((cpp, cuda) if request.cuda_sources else (cpp,))
    ]
    for unit in units:
        unit.texts.update({f"{unit.include}/{name}": t for name, t in (unforeseen or {}).items()})
    return units


def write_texts(texts: Mapping[str, str], folder: Path) -> None:
    """Write files by their path below a folder."""
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def without_comments(source: str) -> str:
    """The source with comments and strings blanked, so that their words call for nothing."""
    return _COMMENTS_AND_STRINGS.sub(" ", source)


def calls_for_pybind11(request: BuildRequest) -> str | None:
    """What of a candidate only pybind11 itself can do, or None."""
    source = "\n".join((*request.cpp_sources, *request.cuda_sources, *request.headers.values()))
    if found := _PYTHON_API.search(without_comments(source)) or _PYTHON_INCLUDE.search(source):
        return f"uses {found[1]}"
    defined = _DEFINED.findall("\n".join((*request.cpp_sources, *request.cuda_sources)))
    return "defines overloads of a function" if len(set(defined)) < len(defined) else None


def bindable(functions: Iterable[str]) -> bool:
    """Whether every function is a plain name; `ns::f` is left to torch's own bindings."""
    return all(_IDENTIFIER.match(name) for name in functions)


class _Source(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    text: str
    lines_of: str
    implicit: Sequence[str]
    bindings: str


def _unit(source: _Source, request: BuildRequest, operators: Operators, headers: str) -> Unit:
    bare = without_comments(f"{source.text}\n{headers}")
    names = names_in(bare)
    if not _OF_PYBIND.search(bare):
        names.discard("py")  # the y of a point, most likely
    wrappers = operators.wrappers(names)
    file = "main.cpp" if source.label == "cpp_source" else "cuda.cu"
    include = f"for_{source.label}"
    objects = calls_for_pybind11(request) is not None
    implicit = () if request.no_implicit_headers else source.implicit
    # Before the candidate's macros, whose names are short.
    own = ("light/bind.h",) if source.bindings and implicit and not objects else ()
    lines = [f"#include <{name}>" for name in ("candidate/prelude.h", *implicit, *own)]
    lines += [
        f'#line 1 "{source.lines_of}"',
        source.text,
        '#line 1 "bindings"',
        source.bindings,
        "",
    ]
    return Unit(
        file=file,
        include=include,
        texts={
            file: "\n".join(lines),
            source.label: f"{source.text}\n",
            f"{include}/candidate/prelude.h": _prelude(
                names,
                [*_standard_headers(bare, names), *_own_headers(file, bare, names)],
                cuda=request.uses_cuda,
                objects=objects,
            ),
            f"{include}/candidate/methods.h": wrappers.methods,
            f"{include}/candidate/functions.h": wrappers.functions,
            f"{include}/candidate/factories.h": wrappers.factories,
        },
    )


def _prelude(names: set[str], standard: Iterable[str], *, cuda: bool, objects: bool) -> str:
    """What this candidate's names call for, before any of its own text."""
    parts = [part for part, called in _PARTS.items() if any(map(called.fullmatch, names))]
    parts += ["RA_USES_CUDA"] if cuda else []
    parts += ["RA_USES_PYTHON_OBJECTS"] if objects else []
    defines = [f"#define {part} 1\n" for part in parts]
    includes = [
        f"#if __has_include(<{header}>)\n#include <{header}>\n#endif\n" for header in standard
    ]
    return "".join(["#pragma once\n", *defines, *includes])


def _standard_headers(bare: str, names: set[str]) -> list[str]:
    """The standard headers that torch's would have brought along, of those that are used."""
    qualified = names if "using namespace std" in bare else set(_STD_NAME.findall(bare))
    headers = {_HEADER_OF[name] for name in qualified if name in _HEADER_OF}
    headers |= {_HEADER_OF[name] for name in names if _HEADER_OF.get(name) in _C_HEADERS}
    if _OF_A_LIST.search(bare):  # the other overloads of std::max come with <string>
        headers.add("algorithm")
    return sorted(headers)


def _own_headers(file: str, bare: str, names: set[str]) -> list[str]:
    """Headers of the compiler's and of the toolkit's, of those that are used and not included."""
    if not file.endswith(".cu"):
        return ["x86intrin.h"] if any(map(_INTRINSIC.fullmatch, names)) else []
    limits = ["cfloat"] if any(map(_LIMIT.fullmatch, names)) else []
    floats = {found[1] for name in names if (found := _SMALL_FLOAT.fullmatch(name))}
    library = _CUDA_STD.search(bare) is not None and _HAS_CUDA_STD.search(bare) is None
    brought = library or any(f"cuda_{each}" not in names for each in floats)
    return [*limits, *(["thrust/complex.h"] if brought else [])]


def _bindings(request: BuildRequest) -> str:
    """One entry per function; the docstring is pasted as torch pastes it."""
    functions = request.functions
    if functions is None:
        return ""
    if calls_for_pybind11(request) is not None:
        entries = [
            f'm.def("{name}", torch::wrap_pybind_function({name}), "{doc}");'
            for name, doc in functions.items()
        ]
        return "\n".join(["PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {", *entries, "}"])
    documented = [
        f'static const char ra_doc_{name}[] = "{doc}";' for name, doc in functions.items()
    ]
    entries = [f"RA_ENTRY({name})" for name in functions]
    records = " ".join(f"ra_record_{name}()," for name in functions)
    return "\n".join(["#include <light/bind.h>", *documented, *entries, f"RA_MODULE({records})"])
