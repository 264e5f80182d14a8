"""Owns which compiler and linker flags a candidate may ask for; everything else is refused aloud.

A flag is refused because it could read, write or run something outside the build, never because
it is slow or unwise: that is the candidate's own business.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import msgspec

from refine_agent.builder.records import BuildRequest

# Stock builds pass flags through ninja and a shell: no character that a shell would act on.
_PLAIN = re.compile(r"[\w./:=,+%@^\[\]-]*\Z", re.ASCII)
_MACRO = re.compile(r"-[DU]\w+(?:=[\w.+-]*)?\Z", re.ASCII)
_HOST = re.compile(
    r"-O(?:[0-3sgz]|fast)?\Z|-g(?:[0-3]|gdb|dwarf-\d|line-tables-only)?\Z|-w\Z|-W(?!l,|a,|p,)[\w=+-]+\Z|"
    r"-pedantic(?:-errors)?\Z|-std=(?:c|gnu)\+\+\w+\Z|-m[\w.=,+-]+\Z|-pthread\Z|-pipe\Z|-ansi\Z|"
    r"-f(?!plugin|dump|profile|auto-profile|use-ld|sanitize-\w*list|save|callgraph|opt-info|record|"
    r"compare-debug|lto-|-?ltrans|debug-prefix|file-prefix|macro-prefix|diagnostics-add|stack-usage|"
    r"branch-prob|instrument|crash|module-mapper|preprocessed)[\w=+,.-]+\Z",
    re.ASCII,
)
_DEVICE = re.compile(
    r"--?use_fast_math\Z|--?(?:ftz|prec-div|prec-sqrt|fmad|extra-device-vectorization)(?:=(?:true|false))?\Z|"
    r"--?expt-(?:relaxed-constexpr|extended-lambda)\Z|--?extended-lambda\Z|--?lineinfo\Z|"
    r"--?generate-line-info\Z|-G\Z|--device-debug\Z|--?maxrregcount=\d+\Z|--?dlcm=\w+\Z|--?threads=?\d*\Z|"
    r"-t=?\d*\Z|--?split-compile=?\d*\Z|--?default-stream=?(?:legacy|null|per-thread)\Z|--?restrict\Z|"
    r"--?(?:gpu-architecture|arch)=[\w,]+\Z|--?(?:gpu-code|code)=[\w,]+\Z|"
    r"--?(?:generate-code|gencode)=[\w=,\[\]]+\Z|--?(?:optimize=|O)[0-3]\Z|--?Ofast-compile=\w+\Z|-Ofc=\w+\Z|"
    r"--?(?:disable-warnings|Wno-deprecated-gpu-targets|resource-usage|source-in-ptx|res-usage)\Z|"
    r"--?(?:diag-suppress|diag-warn|display-error-number|relaxed-constexpr)(?:=[\w,]+)?\Z|"
    r"--?(?:std)=(?:c|gnu)\+\+\w+\Z|-Werror=?[\w-]*\Z|--?(?:keep-device-functions|no-align-double|"
    r"allow-unsupported-compiler|expt-extended-lambda|extra-device-vectorization|dopt=on|fdevice-time-trace)\Z",
    re.ASCII,
)
_ASSEMBLER = re.compile(
    r"--?(?:v|verbose|dlcm=\w+|dscm=\w+|maxrregcount=\d+|O[0-4]|opt-level=[0-4]|warn-[\w-]+|"
    r"allow-expensive-optimizations(?:=\w+)?|def-load-cache=\w+|def-store-cache=\w+|lineinfo|"
    r"suppress-\w[\w-]*|disable-optimizer-constants|fmad=\w+|register-usage-level=\d+|split-compile=?\d*)\Z",
    re.ASCII,
)
_LINKER = re.compile(
    r"-l(?:cublas|cublasLt|cudnn\w*|cufft|curand|cusolver|cusparse|cudart|cuda|nvrtc|nvToolsExt|nccl|"
    r"cutensor|cudadevrt|cupti|nvidia-ml|c10|c10_cuda|torch|torch_cpu|torch_cuda|torch_python|gomp|omp|iomp5|m|"
    r"pthread|dl|rt|stdc\+\+|mkl\w*|openblas|blas|tbb)\Z|-fopenmp\Z|-pthread\Z|-O[0-3s]?\Z|-s\Z|-g\Z|"
    r"-Wl,(?:--no-as-needed|--as-needed|-z,\w+|-O\d|--gc-sections|-Bsymbolic|--no-undefined|-s)\Z",
    re.ASCII,
)
# Flags whose value is the next word.
_WITH_VALUE = {
    "-gencode", "--generate-code", "-arch", "--gpu-architecture", "-code", "--gpu-code", "-Xcompiler",
    "--compiler-options", "-Xptxas", "--ptxas-options", "-maxrregcount", "--maxrregcount", "-std", "--std",
    "-t", "--threads", "-diag-suppress", "--diag-suppress", "-Xcudafe", "-I", "-isystem", "-L", "-D", "-U",
    "--default-stream", "-default-stream", "-O", "--optimize", "--include-path", "--library-path", "-Xfatbin",
    "--expt-extended-lambda-value", "-split-compile", "--split-compile",
}  # fmt: skip
_DIAGNOSTIC = re.compile(
    r"--(?:diag_suppress|diag_warning|display_error_number)(?:=[\w,]+)?\Z", re.ASCII
)
_FATBIN = re.compile(r"-?-?(?:compress-all|compress-mode=\w+|compress=\w+)\Z", re.ASCII)


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """One request's flags, split into words and allowed."""

    host: tuple[str, ...]
    device: tuple[str, ...]
    linker: tuple[str, ...]
    include_paths: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    """A flag that is not allowed, and the sentence that says so."""

    sentence: str


def allowed_flags(request: BuildRequest, *, roots: Sequence[Path]) -> Flags | Refused:
    """The request's flags, or the first that may not be used; include and library folders must lie under `roots`."""
    try:
        host = _words(request.extra_cflags)
        device = _words(request.extra_cuda_cflags)
        linker = _words(request.extra_ldflags)
    except ValueError as error:
        return Refused(f"The build flags cannot be split into words: {error}.")
    refused = (
        _refused_word("extra_cflags", host, _host_word, roots)
        or _refused_word("extra_cuda_cflags", device, _device_word, roots)
        or _refused_word("extra_ldflags", linker, _linker_word, roots)
        or _refused_path(request.extra_include_paths, roots)
    )
    if refused is not None:
        return refused
    return Flags(
        host=_joined(host), device=_joined(device), linker=_joined(linker),
        include_paths=tuple(path.strip() for path in request.extra_include_paths if path.strip()),
    )  # fmt: skip


def _words(flags: Sequence[str]) -> list[tuple[str, str | None]]:
    """Split as a shell would, each flag with the value that follows it."""
    words = [word for flag in flags for word in shlex.split(flag)]
    pairs: list[tuple[str, str | None]] = []
    index = 0
    while index < len(words):
        takes_value = words[index] in _WITH_VALUE and index + 1 < len(words)
        pairs.append((words[index], words[index + 1] if takes_value else None))
        index += 2 if takes_value else 1
    return pairs


def _joined(pairs: list[tuple[str, str | None]]) -> tuple[str, ...]:
    return tuple(word for pair in pairs for word in pair if word is not None)


def _refused_word(argument: str, pairs, allowed, roots) -> Refused | None:  # type: ignore[no-untyped-def]
    for flag, value in pairs:
        plain = _PLAIN.match(flag) and (value is None or _PLAIN.match(value))
        if not plain or not allowed(flag, value, roots):
            written = flag if value is None else f"{flag} {value}"
            return Refused(
                f"The flag {written!r} in {argument} is not allowed here; remove it. Optimisation, "
                "warning, macro, standard, architecture and -Xptxas flags are, and libraries of the CUDA toolkit."
            )
    return None


def _refused_path(paths: Sequence[str], roots: Sequence[Path]) -> Refused | None:
    for path in paths:
        if path.strip() and not (_PLAIN.match(path) and _inside(path, roots)):
            return Refused(
                f"The include path {path!r} lies outside the candidate's folder, the CUDA toolkit and torch; remove it."
            )
    return None


def _host_word(flag: str, value: str | None, roots: Sequence[Path]) -> bool:
    if flag in ("-D", "-U"):
        return value is not None and _MACRO.match(flag + value) is not None
    if flag in ("-I", "-isystem", "--include-path"):
        return value is not None and _inside(value, roots)
    if flag.startswith("-I"):
        return _inside(flag[2:], roots)
    return value is None and bool(_MACRO.match(flag) or _HOST.match(flag))


def _device_word(flag: str, value: str | None, roots: Sequence[Path]) -> bool:
    if flag in ("-Xcompiler", "--compiler-options"):
        return value is not None and all(_host_word(part, None, roots) for part in value.split(","))
    if flag.startswith(("-Xcompiler=", "--compiler-options=")):
        return all(_host_word(part, None, roots) for part in flag.partition("=")[2].split(","))
    if flag in ("-Xptxas", "--ptxas-options"):
        return value is not None and all(_ASSEMBLER.match(part) for part in value.split(","))
    if flag.startswith(("-Xptxas=", "--ptxas-options=")):
        return all(_ASSEMBLER.match(part) for part in flag.partition("=")[2].split(","))
    if flag == "-Xcudafe":
        return value is not None and bool(_DIAGNOSTIC.match(value))
    if flag == "-Xfatbin":
        return value is not None and bool(_FATBIN.match(value))
    if value is not None and flag not in ("-D", "-U", "-I", "-isystem", "--include-path", "-L"):
        return bool(_DEVICE.match(f"{flag}={value}"))
    return bool(_DEVICE.match(flag)) or _host_word(flag, value, roots)


def _linker_word(flag: str, value: str | None, roots: Sequence[Path]) -> bool:
    if flag in ("-L", "--library-path"):
        return value is not None and _inside(value, roots)
    if flag.startswith("-L"):
        return _inside(flag[2:], roots)
    return value is None and bool(_LINKER.match(flag))


def _inside(path: str, roots: Sequence[Path]) -> bool:
    """Whether the path, links followed, lies under one of the roots."""
    try:
        real = Path(path).resolve()
    except OSError:
        return False
    return Path(path).is_absolute() and any(real.is_relative_to(root.resolve()) for root in roots)
