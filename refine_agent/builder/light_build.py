"""Owns the light flavour: compile a candidate against the stand-in headers, link it to the shim.

Deciding whose fault a failure is is left to `gaps`, the cache to the caller.
"""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from refine_agent.builder import precompiled
from refine_agent.builder.flags import Flags
from refine_agent.builder.job import Compiled, Job, readable
from refine_agent.builder.nvcc import compile_device_code
from refine_agent.builder.records import Finished
from refine_agent.builder.remarks import collect, vectorisation_flags
from refine_agent.builder.sources import Unit, calls_for_pybind11, units_of, write_texts
from refine_agent.builder.toolchain import scrubbed_environment

# Even what the standard library would export stays inside: only the module itself shows.
_EXPORTS = "{ global: PyInit_*; local: *; };\n"
_SNIPPET = re.compile(r"\s*\d* \| ")
_INCLUDED_BY_US = re.compile(
    r"(?:In file included| +) from (?:light/|torch/|ATen/|c10/|for_|bindings|main\.cpp|cuda\.cu)"
)
# What a compiler finds near a name, in parts of ours that have no name in torch.
_OWN_NOTE = re.compile(r"light/[^\n]*: note: [^\n]*\b(?:(?:at|c10)::ra::|ra_|RA_)")
_OWN_HEADER = re.compile(r"^for_\w+/candidate/\w+\.h:\d+(?::\d+)?: ")
_ARCH_FLAG = re.compile(r"--?(?:gencode|generate-code|arch|gpu-architecture)(?:=|\Z)")


def compile_lightly(job: Job, folder: Path, home: Path) -> Compiled:
    """Compile every unit, side by side, and link them to `folder/NAME.so`.

    `home` is where the folder will lie: profilers look for the sources there.
    """
    unforeseen = job.unforeseen_headers()
    units = units_of(job.request, job.toolchain.operators(), home=home, unforeseen=unforeseen)
    for unit in units:
        write_texts(unit.texts, folder)
    write_texts(job.request.headers, folder / "headers")
    write_texts({"exports.map": _EXPORTS}, folder)
    (folder / "tmp").mkdir()

    def run(argv: list[str]) -> Finished:
        environment = scrubbed_environment(folder / "tmp")
        return job.run(argv, cwd=folder, env=environment, deadline_s=job.deadline_s)

    def compiled(unit: Unit) -> Finished:
        command = _compile_command(unit, job)
        return compile_device_code(command, job, folder) if unit.is_device_code else run(command)

    # Threads only wait, and every compiler has one.
    with ThreadPoolExecutor(max_workers=len(units) + 1) as pool:
        making = pool.submit(precompiled.make, job, precompiled.standard(job, _host_flags(job)))
        ended = list(pool.map(compiled, units))
    making.result()  # a full disk is no matter there, a mistake of ours is
    if all(each.exit_code == 0 for each in ended):
        ended.append(run(_link_command(units, job)))
    collect(folder, job.flags.host)
    _tidy(folder, units)
    log = readable("\n".join(each.output for each in ended if each.output), folder, home)
    return Compiled(
        built=all(each.exit_code == 0 for each in ended),
        log=log,
        told=_about_the_candidate(log),
        timed_out=any(each.exit_code is None for each in ended),
        crashed=any(each.exit_code is not None and each.exit_code < 0 for each in ended),
    )


def _compile_command(unit: Unit, job: Job) -> list[str]:
    request, toolchain = job.request, job.toolchain
    common = [f"-DTORCH_EXTENSION_NAME={request.name}", "-DTORCH_API_INCLUDE_EXTENSION_H"]
    common += ["-Iheaders"] if request.headers else []
    common += [f"-I{path}" for path in job.flags.include_paths]
    if calls_for_pybind11(request) is not None:
        common += ["-isystem", str(toolchain.pybind11), "-isystem", toolchain.facts.python_include]
    common += ["-isystem", unit.include, "-isystem", str(toolchain.include)]
    output = ["-c", unit.file, "-o", f"{unit.file}.o"]
    if unit.is_device_code:
        return [*_device_command(job), *common, *_device_flags(job.flags, job), *output]
    if request.uses_cuda and toolchain.toolkit is not None:
        common += ["-isystem", f"{toolchain.toolkit}/include"]
    host = _host_flags(job)
    common = [*precompiled.including(job, precompiled.standard(job, host)), *common]
    told = ["-fdiagnostics-color=never", "-fmax-errors=20", *vectorisation_flags(job.flags.host)]
    return [toolchain.cxx, *common, *host, *told, *output]


def _host_flags(job: Job) -> list[str]:
    standard = f"-std={job.toolchain.facts.standard}"
    return ["-fPIC", standard, "-fvisibility=hidden", *job.flags.host]


def _device_command(job: Job) -> list[str]:
    if job.toolchain.nvcc is None:
        raise ValueError("a CUDA source needs a toolchain prepared for device 'cuda'")
    return [job.toolchain.nvcc, *job.toolchain.facts.nvcc_flags]


def _device_flags(flags: Flags, job: Job) -> list[str]:
    digits = (job.toolchain.arch or "").replace(".", "")
    arch = [f"-gencode=arch=compute_{digits},code=sm_{digits}"]
    standard = [f"-std={job.toolchain.facts.standard}"]
    return [
        *([] if any(_ARCH_FLAG.match(flag) for flag in flags.device) else arch),
        *("--compiler-options", "-fPIC", "-Xcompiler", "-fvisibility=hidden"),
        *("-lineinfo", "-Xptxas", "-v", *flags.device),
        *([] if any("-std=" in flag for flag in flags.device) else standard),
    ]


def _link_command(units: list[Unit], job: Job) -> list[str]:
    toolchain = job.toolchain
    argv = [toolchain.cxx, *(f"{unit.file}.o" for unit in units), "-shared"]
    # Nothing of the stand-in may ever answer for torch's own symbols, or the other way round.
    argv += ["-Wl,-Bsymbolic", "-Wl,--version-script=exports.map"]
    argv += [str(toolchain.shim), "-o", f"{job.request.name}.so", *job.flags.linker]
    if job.request.uses_cuda and toolchain.toolkit is not None:
        libraries = toolchain.toolkit / "lib64"
        # Without the toolkit's own runtime library, the one that torch has loaded answers.
        runtime = ["-lcudart"] if (libraries / "libcudart.so").exists() else []
        argv += [f"-L{libraries}", *runtime]
    return argv


def _about_the_candidate(log: str) -> str:
    """The log without the text of our own headers.

    Of what follows from a function that cannot be bound, the first line says it all.
    """
    lines: list[str] = []
    ours = told = False
    for line in log.splitlines():
        if _INCLUDED_BY_US.match(line):
            continue
        if _OWN_NOTE.match(line):
            ours = True
            continue
        if _SNIPPET.match(line):
            lines += [] if ours else [line]
            continue
        ours = line.startswith(("for_", "light/", "bindings:"))
        if not line.startswith("bindings:"):
            lines.append(_OWN_HEADER.sub("torch: ", line))
        elif not told and " error: " in line:
            told = True
            lines.append(re.sub(r"; did you mean '.*", "", line))  # the suggestion is ours
    return "\n".join(lines)


def _tidy(folder: Path, units: list[Unit]) -> None:
    """Keep the extension and the captured sources."""
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    (folder / "exports.map").unlink()
    for unit in units:
        shutil.rmtree(folder / unit.include, ignore_errors=True)
        (folder / unit.file).unlink(missing_ok=True)
        (folder / f"{unit.file}.o").unlink(missing_ok=True)
