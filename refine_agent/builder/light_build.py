"""Owns the light flavour: compile a candidate against the stand-in headers, link it to the shim.

Deciding whether a failure is the stand-in's fault is left to `gaps`, the cache to the caller.
"""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from refine_agent.builder.flags import Flags
from refine_agent.builder.records import BuildRequest, Finished, Run
from refine_agent.builder.sources import Unit, units_of, write_headers, write_unit
from refine_agent.builder.toolchain import Toolchain, scrubbed_environment

_MAX_LOG_CHARS = 24_000
_NVCC_PLACE = re.compile(
    r"^((?:cuda|cpp)_source|bindings|[\w./-]+\.(?:cuh|h|hpp|cu|inl))\((\d+)\)(?=: )", re.MULTILINE
)

# Vectorisation remarks about anything but the candidate's own loops.
_FOREIGN_REMARK = re.compile(
    r"^(?!cpp_source:)[^\n]*: optimized: [^\n]*\n?|^[^\n]*: optimized: basic block[^\n]*\n?",
    re.MULTILINE,
)


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """How compiling and linking ended."""

    built: bool
    log: str
    timed_out: bool
    crashed: bool
    """A compiler died of a signal: most often of memory."""


def compile_lightly(
    request: BuildRequest,
    flags: Flags,
    toolchain: Toolchain,
    *,
    run: Run,
    folder: Path,
    deadline_s: float,
) -> Compiled:
    """Compile every unit, side by side, and link them to `folder/NAME.so`."""
    units = units_of(request, toolchain.operators())
    for unit in units:
        write_unit(unit, folder)
    write_headers(request.headers, folder / "headers")
    (folder / "tmp").mkdir()
    environment = scrubbed_environment(folder / "tmp")

    def compile_unit(unit: Unit) -> Finished:
        argv = _compile_command(unit, request, flags, toolchain, folder)
        return run(argv, cwd=folder, env=environment, deadline_s=deadline_s)

    # Threads only wait here; nvcc is a chain of single-threaded programs, so two units use two cores.
    with ThreadPoolExecutor(max_workers=len(units)) as pool:
        done = list(pool.map(compile_unit, units))
    if all(each.exit_code == 0 for each in done):
        argv = _link_command(units, request, flags, toolchain)
        done.append(run(argv, cwd=folder, env=environment, deadline_s=deadline_s))
    _tidy(folder, units)
    return Compiled(
        built=all(each.exit_code == 0 for each in done),
        log=readable("\n".join(each.output for each in done if each.output), folder),
        timed_out=any(each.exit_code is None for each in done),
        crashed=any(each.exit_code is not None and each.exit_code < 0 for each in done),
    )


def readable(log: str, folder: Path) -> str:
    """The log as an author should see it: no machine's paths, `cuda_source:12` for its own lines, bounded."""
    text = log.replace(f"{folder}/headers/", "").replace(f"{folder}/", "")
    text = re.sub(r"(?:/[\w.+-]+)+/include/light/", "light/", text)
    text = _NVCC_PLACE.sub(r"\1:\2", text)
    text = _FOREIGN_REMARK.sub("", text)
    text = _without_our_bindings(text)
    if len(text) <= _MAX_LOG_CHARS:
        return text.strip()
    half = _MAX_LOG_CHARS // 2  # the first errors matter most; the count is at the end
    return f"{text[: half + half // 2]}\n[...]\n{text[-half // 2 :]}".strip()


def _without_our_bindings(text: str) -> str:
    """Of what follows from a function that cannot be bound, the first line says it all."""
    lines, told = [], False
    for line in text.splitlines():
        if line.startswith("bindings:"):
            if told or " error: " not in line:
                continue
            told = True
            line = re.sub(r"; did you mean [‘'].*", "", line)  # noqa: PLW2901 - the suggestion is ours
        lines.append(line)
    return "\n".join(lines)


def _compile_command(
    unit: Unit, request: BuildRequest, flags: Flags, toolchain: Toolchain, folder: Path
) -> list[str]:
    common = [f"-DTORCH_EXTENSION_NAME={request.name}", "-DTORCH_API_INCLUDE_EXTENSION_H"]
    common += ["-Iheaders"] if request.headers else []
    common += [f"-I{path}" for path in flags.include_paths]
    common += ["-isystem", unit.include, "-isystem", str(toolchain.include)]
    if unit.file.endswith(".cu"):
        return _device_command(unit, flags, toolchain, common)
    if request.uses_cuda and toolchain.toolkit is not None:
        common += ["-isystem", f"{toolchain.toolkit}/include"]
    standard = f"-std={toolchain.facts.standard}"
    return [toolchain.cxx, *common, "-fPIC", standard, "-fvisibility=hidden", "-fdiagnostics-color=never",
            "-fmax-errors=20", *flags.host, *_remarks(flags), "-c", unit.file, "-o", f"{unit.file}.o"]  # fmt: skip


def _remarks(flags: Flags) -> list[str]:
    """Which loops were vectorised: only said where the candidate asked for optimisation."""
    return ["-fopt-info-vec-optimized"] if {"-O2", "-O3", "-Ofast"} & set(flags.host) else []


def _device_command(unit: Unit, flags: Flags, toolchain: Toolchain, common: list[str]) -> list[str]:
    if toolchain.nvcc is None or toolchain.arch is None:
        raise ValueError("a CUDA source needs a toolchain prepared for device 'cuda'")
    digits = toolchain.arch.replace(".", "")
    arch = [] if _names_arch(flags) else [f"-gencode=arch=compute_{digits},code=sm_{digits}"]
    standard = (
        [] if any("-std=" in f for f in flags.device) else [f"-std={toolchain.facts.standard}"]
    )
    return [toolchain.nvcc, *common, *toolchain.facts.nvcc_flags, *arch, "--compiler-options", "-fPIC",
            "-Xcompiler", "-fvisibility=hidden", "-lineinfo", "-Xptxas", "-v", *flags.device, *standard,
            "-c", unit.file, "-o", f"{unit.file}.o"]  # fmt: skip


def _names_arch(flags: Flags) -> bool:
    return any(
        f.lstrip("-").startswith(("gencode", "generate-code", "arch", "gpu-architecture"))
        for f in flags.device
    )


def _link_command(
    units: list[Unit], request: BuildRequest, flags: Flags, toolchain: Toolchain
) -> list[str]:
    argv = [
        toolchain.cxx,
        *(f"{unit.file}.o" for unit in units),
        "-shared",
        "-o",
        f"{request.name}.so",
    ]
    # Nothing of the stand-in may ever answer for torch's own symbols, or the other way round.
    argv += ["-Wl,-Bsymbolic", str(toolchain.shim), f"-Wl,-rpath,{toolchain.folder}", *flags.linker]
    if request.uses_cuda and toolchain.toolkit is not None:
        libraries = toolchain.toolkit / "lib64"
        # Without the toolkit's own runtime library, the one that torch has loaded answers.
        argv += [f"-L{libraries}", *(["-lcudart"] if (libraries / "libcudart.so").exists() else [])]
    return argv


def _tidy(folder: Path, units: list[Unit]) -> None:
    """Keep the extension and the captured sources."""
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    forget: Callable[[Path], None] = lambda path: path.unlink(missing_ok=True)  # noqa: E731
    for unit in units:
        shutil.rmtree(folder / unit.include, ignore_errors=True)
        forget(folder / unit.file)
        forget(folder / f"{unit.file}.o")
