"""Owns the stock flavour: torch's own `load_inline`, in a child, into a private folder.

The child compiles and never imports what it built; loading is left to the worker.
"""

import re
import shutil
from pathlib import Path

import msgspec

from refine_agent.builder.job import Compiled, Job, readable
from refine_agent.builder.records import BuildRequest
from refine_agent.builder.sources import write_texts
from refine_agent.builder.toolchain import scrubbed_environment

_SCRIPT = """
import inspect
import json

from torch.utils import cpp_extension

# The build ends where torch would import the extension: its code must not run here.
cpp_extension._import_module_from_library = lambda *args, **kwargs: None
with open("request.json", encoding="utf-8") as file:
    asked = json.load(file)
known = inspect.signature(cpp_extension.load_inline).parameters
cpp_extension.load_inline(**{name: value for name, value in asked.items() if name in known})
"""
_NOISE = re.compile(
    r"^(?:\[\d+/\d+\] .*|Emitting ninja.*|Building extension module.*|Allowing ninja.*"
    r"|ninja: build stopped.*|Loading extension.*|Detected CUDA files.*|Using existing.*"
    r"|No modifications.*|Creating extension.*|FAILED: .*|/\S*(?:c\+\+|nvcc|g\+\+) .*"
    r"|The input conditions.*|W\d{4} .*|If this is not desired.*)\n?",
    re.MULTILINE,
)


def compile_with_torch(job: Job, folder: Path, home: Path) -> Compiled:
    """Build with torch's headers to `folder/NAME.so`; `home` is where the folder will lie."""
    private = folder / "stock"
    private.mkdir()
    (folder / "tmp").mkdir()
    write_texts(job.request.headers, private / "headers")
    _keep_sources(job.request, private)  # where the compiler looks for the lines that it quotes
    (private / "request.json").write_bytes(msgspec.json.encode(_asked(job, private, home)))
    (private / "build.py").write_text(_SCRIPT, encoding="utf-8")
    argv = [job.toolchain.python, "build.py"]
    environment = _environment(job, folder)
    done = job.run(argv, cwd=private, env=environment, deadline_s=job.deadline_s)
    library = private / f"{job.request.name}.so"
    built = done.exit_code == 0 and library.exists()
    if built:
        shutil.move(library, folder / library.name)
        _keep_sources(job.request, folder)
    shutil.rmtree(private, ignore_errors=True)
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    log = _cleaned(done.output, private, home)
    return Compiled(
        built=built,
        log=log,
        told=log,
        timed_out=done.exit_code is None,
        crashed=done.exit_code is not None and done.exit_code < 0,
    )


def _environment(job: Job, folder: Path) -> dict[str, str]:
    toolchain = job.toolchain
    environment = scrubbed_environment(folder / "tmp") | {"MAX_JOBS": "4", "CXX": toolchain.cxx}
    # ninja lies beside the Python that torch was installed for.
    environment["PATH"] = f"{Path(toolchain.python).parent}:{environment.get('PATH', '')}"
    if toolchain.arch is not None:
        cuda = {"TORCH_CUDA_ARCH_LIST": toolchain.arch, "CUDA_HOME": str(toolchain.toolkit)}
        environment |= cuda
    return environment


def _asked(job: Job, private: Path, home: Path) -> dict[str, object]:
    """The arguments of load_inline; lines are marked as in the light build."""
    request, flags = job.request, job.flags
    own_headers = [str(private / "headers")] if request.headers else []
    cuda = [f'#line 1 "{home}/cuda_source"\n' + "\n".join(request.cuda_sources)]
    return {
        "name": request.name,
        "cpp_sources": [
            '#line 1 "cpp_source"\n' + "\n".join(request.cpp_sources) + '\n#line 1 "bindings"'
        ],
        "cuda_sources": cuda if request.cuda_sources else None,
        "functions": request.functions,
        "extra_cflags": [*flags.host],
        "extra_cuda_cflags": ["-lineinfo", "-Xptxas", "-v", *flags.device],
        "extra_ldflags": [*flags.linker],
        "extra_include_paths": [*flags.include_paths, *own_headers],
        "build_directory": str(private),
        "verbose": True,
        "with_cuda": request.with_cuda,
        "is_python_module": request.is_python_module,
        "no_implicit_headers": request.no_implicit_headers,
        "with_pytorch_error_handling": request.with_pytorch_error_handling,
    }


def _keep_sources(request: BuildRequest, folder: Path) -> None:
    labelled = {"cpp_source": request.cpp_sources, "cuda_source": request.cuda_sources}
    write_texts({name: "\n".join(text) + "\n" for name, text in labelled.items() if text}, folder)


def _cleaned(log: str, private: Path, home: Path) -> str:
    """The compilers' words without those of ninja, torch and Python around them."""
    text = log.partition("\nTraceback (most recent call last):")[0] if "error:" in log else log
    return readable(_NOISE.sub("", text), private, home)
