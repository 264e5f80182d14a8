"""Owns which compiler and linker flags a candidate may ask for; the rest are refused aloud.

A flag is refused because it could read, write or run something outside the build, never because
it is slow or unwise: that is the candidate's own business.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from refine_agent.builder.records import BuildRequest

# Stock builds pass flags through ninja and a shell: no character that a shell would act on.
_PLAIN = re.compile(r"[\w./:=,+%@^\[\]-]+\Z", re.ASCII)
_MACRO = re.compile(r"-[DU]\w+(?:=[\w.+-]*)?\Z", re.ASCII)
# -f flags that load code, or write or read files.
_FOREIGN = (
    "plugin|dump|profile|auto-profile|use-ld|save|callgraph|opt-info|record|compare-debug|lto-"
    "|ltrans|debug-prefix|file-prefix|macro-prefix|stack-usage|branch-prob|instrument|crash"
    "|module|preprocessed|test-coverage|pch|working"
)
_HOST = re.compile(
    r"-O(?:[0-3sgz]|fast)?\Z|-g(?:[0-3]|gdb\d?|dwarf(?:-\d)?)?\Z|-w\Z|-W(?![alp],)[\w=+-]+\Z"
    r"|-pedantic(?:-errors)?\Z|-std=(?:c|gnu)\+\+\w+\Z|-m[\w.=,+-]+\Z|-pthread\Z|-pipe\Z|-ansi\Z"
    rf"|-f(?!(?:no-)?(?:{_FOREIGN}))[\w=+,.-]+\Z",
    re.ASCII,
)
_DEVICE = re.compile(
    r"--?(?:"
    r"use_fast_math|expt-relaxed-constexpr|expt-extended-lambda|extended-lambda|lineinfo"
    r"|generate-line-info|device-debug|restrict|disable-warnings|Wno-deprecated-gpu-targets"
    r"|resource-usage|res-usage|source-in-ptx|keep-device-functions|no-align-double"
    r"|allow-unsupported-compiler|extra-device-vectorization|Werror(?:=[\w,-]+)?"
    r"|(?:ftz|prec-div|prec-sqrt|fmad)=(?:true|false)|maxrregcount=\d+|dlcm=\w+|dopt=on"
    r"|(?:threads|t|split-compile)=?\d*|default-stream=(?:legacy|null|per-thread)"
    r"|(?:gpu-architecture|arch|gpu-code|code|generate-code|gencode)=[\w=,\[\]]+"
    r"|(?:optimize=|O=?)[0-3]|(?:Ofast-compile|Ofc)=\w+|std=(?:c|gnu)\+\+\w+"
    r"|(?:diag-suppress|diag-warn)=[\w,]+|display-error-number|cudart=\w+|x=cu"
    r"|static-global-template-stub=\w+|forward-unknown-to-host-\w+"
    r")\Z|-G\Z",
    re.ASCII,
)
_ASSEMBLER = re.compile(
    r"--?(?:v|verbose|(?:dlcm|dscm|def-load-cache|def-store-cache)=\w+|maxrregcount=\d+|O[0-4]"
    r"|opt-level=[0-4]|warn-[\w-]+|allow-expensive-optimizations(?:=\w+)?|lineinfo"
    r"|suppress-[\w-]+|disable-optimizer-constants|fmad=\w+|register-usage-level=\d+"
    r"|split-compile=?\d*)\Z",
    re.ASCII,
)
_FRONT_END = re.compile(r"--(?:diag_suppress|diag_warning|display_error_number)(?:=[\w,]+)?\Z")
_FAT_BINARY = re.compile(r"-{0,2}(?:compress-all|compress-mode=\w+|compress=\w+)\Z")
_LIBRARY = re.compile(
    r"-l(?:cublas|cublasLt|cudnn\w*|cufft|curand|cusolver|cusparse|cusparseLt|cuda|nvrtc|nvJitLink"
    r"|cudart|cudart_static|cublas_static|cublasLt_static|c|gcc|gcc_s|stdc\+\+fs"
    r"|nvToolsExt|nccl|cutensor|cudadevrt|c10|c10_cuda|torch|torch_cpu|torch_cuda|torch_python"
    r"|gomp|omp|iomp5|m|pthread|dl|rt|stdc\+\+|mkl\w*|openblas|blas|tbb)\Z"
    r"|-fopenmp\Z|-pthread\Z|-O(?:[0-3s]|fast)?\Z|-s\Z|-g\Z|-shared\Z|-fPIC\Z|-m[\w.=-]+\Z"
    r"|-flto(?:=auto|=\d+)?\Z"
    r"|-static-lib(?:gcc|stdc\+\+)\Z"
    r"|-Wl,(?:--no-as-needed|--as-needed|-z,\w+|-O\d|--gc-sections|-Bsymbolic|-s)\Z",
    re.ASCII,
)
_RPATH = re.compile(r"-Wl,(?:-rpath|-R)[,=](?P<path>[^,]+)\Z")
_FOLDER_FLAGS = ("-I", "-isystem", "--include-path")
# Flags whose value is the next word.
_WITH_VALUE = re.compile(
    r"--?(?:gencode|generate-code|arch|gpu-architecture|code|gpu-code|compiler-options"
    r"|ptxas-options|maxrregcount|std|threads|diag-suppress|include-path|library-path"
    r"|default-stream|optimize|split-compile)\Z|-(?:Xcompiler|Xptxas|Xcudafe|Xfatbin|I|isystem|L|l"
    r"|D|U|t|x)\Z"
)
# Of these, what may as well be written as one word.
_JOINED = frozenset(("-D", "-I", "-L", "-U", "-l"))
# They make a compiler tell more or leave more lying about; nothing of that outlives a build.
_DROPPED = frozenset(("-v", "--verbose", "-keep", "--keep", "-save-temps", "--save-temps"))

_Words = list[tuple[str, str | None]]
_Allows = Callable[[str, str | None, Sequence[Path]], bool]


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """One request's flags, split into words and allowed."""

    host: tuple[str, ...]
    device: tuple[str, ...]
    linker: tuple[str, ...]
    include_paths: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    """Something that is not allowed, and the sentence that says so."""

    sentence: str


def allowed_flags(request: BuildRequest, *, roots: Sequence[Path]) -> Flags | Refused:
    """The request's flags, or the first that may not be used.

    Include and library folders must lie under one of the `roots`.
    """
    try:
        host = _words(request.extra_cflags)
        device = _words(request.extra_cuda_cflags)
        linker = _words(request.extra_ldflags)
    except ValueError as error:
        return Refused(f"The build flags cannot be split into words: {error}.")
    refused = (
        _first_refused("extra_cflags", host, _host_allows, roots)
        or _first_refused("extra_cuda_cflags", device, _device_allows, roots)
        or _first_refused("extra_ldflags", linker, _linker_allows, roots)
        or _refused_folder(request.extra_include_paths, roots)
    )
    if refused is not None:
        return refused
    return Flags(
        host=_joined(host),
        device=_joined(device),
        linker=_joined(linker),
        include_paths=tuple(p.strip() for p in request.extra_include_paths if p.strip()),
    )


def _words(flags: Sequence[str]) -> _Words:
    """Split as a shell would, each flag with the value that follows it."""
    words = [word for flag in flags for word in shlex.split(flag)]
    pairs: _Words = []
    while words:
        flag = words.pop(0)
        value = words.pop(0) if _WITH_VALUE.match(flag) and words else None
        if value is not None and flag in _JOINED:
            flag, value = flag + value, None
        if value is not None and flag in _PASSED_ON:
            value = ",".join(value.split())  # quoted blanks would not survive the stock build
        if flag not in _DROPPED:
            pairs.append((flag, value))
    return pairs


def _joined(pairs: _Words) -> tuple[str, ...]:
    return tuple(word for pair in pairs for word in pair if word is not None)


def _first_refused(
    argument: str, pairs: _Words, allows: _Allows, roots: Sequence[Path]
) -> Refused | None:
    for flag, value in pairs:
        plain = _PLAIN.match(flag) and (value is None or _PLAIN.match(value))
        if not (plain and allows(flag, value, roots)):
            written = flag if value is None else f"{flag} {value}"
            return Refused(
                f"The flag {written!r} in {argument} is not allowed here; remove it. Flags for "
                "optimisation, warnings, macros, standards, architectures and ptxas are allowed, "
                "and so are the libraries of the CUDA toolkit."
            )
    return None


def _refused_folder(paths: Sequence[str], roots: Sequence[Path]) -> Refused | None:
    for path in paths:
        if path.strip() and not (_PLAIN.match(path) and _inside(path, roots)):
            return Refused(
                f"The include path {path!r} lies outside the candidate's folder, the CUDA toolkit "
                "and torch; remove it."
            )
    return None


def _host_allows(flag: str, value: str | None, roots: Sequence[Path]) -> bool:
    if flag in _FOLDER_FLAGS:
        return value is not None and _inside(value, roots)
    if flag.startswith("-I"):
        return _inside(flag.removeprefix("-I"), roots)
    if value is None and (_MACRO.match(flag) or _HOST.match(flag)):
        return True
    return _linker_allows(flag, value, roots)  # models put these here too, where they do nothing


def _device_allows(flag: str, value: str | None, roots: Sequence[Path]) -> bool:
    if value is None and "=" in flag and flag.partition("=")[0] in _PASSED_ON:
        flag, _, value = flag.partition("=")
    if flag in _PASSED_ON:
        allows = _PASSED_ON[flag]
        return value is not None and all(allows(part) for part in value.split(","))
    if value is not None and flag not in _FOLDER_FLAGS:
        return bool(_DEVICE.match(f"{flag}={value}"))
    return bool(_DEVICE.match(flag)) or _host_allows(flag, value, roots)


# Flags that hand their comma-separated values to another program.
_PASSED_ON: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(("-Xcompiler", "--compiler-options"), lambda f: _host_allows(f, None, ())),
    **dict.fromkeys(("-Xptxas", "--ptxas-options"), lambda f: bool(_ASSEMBLER.match(f))),
    "-Xcudafe": lambda f: bool(_FRONT_END.match(f)),
    "-Xfatbin": lambda f: bool(_FAT_BINARY.match(f)),
}


def _linker_allows(flag: str, value: str | None, roots: Sequence[Path]) -> bool:
    if flag in ("-L", "--library-path"):
        return value is not None and _inside(value, roots)
    if flag.startswith("-L"):
        return _inside(flag.removeprefix("-L"), roots)
    if found := _RPATH.match(flag):
        return _inside(found["path"], roots)
    return value is None and bool(_LIBRARY.match(flag))


def _inside(path: str, roots: Sequence[Path]) -> bool:
    """Whether the path, links followed, lies under one of the roots."""
    if not Path(path).is_absolute():
        return False
    real = Path(path).resolve()
    return any(real.is_relative_to(root.resolve()) for root in roots)
