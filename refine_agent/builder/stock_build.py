"""Owns the stock flavour: torch's own `load_inline`, in a child, into a private folder.

The child compiles and never imports what it built; loading is left to the worker.
"""

import re
import shutil
from pathlib import Path

import msgspec

from refine_agent.builder.flags import Flags
from refine_agent.builder.light_build import Compiled, readable
from refine_agent.builder.records import BuildRequest, Run
from refine_agent.builder.sources import write_headers
from refine_agent.builder.toolchain import Toolchain, scrubbed_environment

_SCRIPT = """
import inspect, json, sys
from torch.utils import cpp_extension
# The build ends where torch would import the extension: its code must not run here.
cpp_extension._import_module_from_library = lambda *args, **kwargs: None
with open("request.json", encoding="utf-8") as file:
    asked = json.load(file)
known = inspect.signature(cpp_extension.load_inline).parameters
cpp_extension.load_inline(**{name: value for name, value in asked.items() if name in known})
"""
_NOISE = re.compile(
    r"^(?:\[\d+/\d+\] .*|Emitting ninja.*|Building extension module.*|Allowing ninja.*|ninja: build stopped.*|"
    r"Loading extension.*|Detected CUDA files.*|Using existing.*|No modifications.*|Creating extension.*|FAILED: .*|"
    r"/\S*(?:c\+\+|nvcc|g\+\+) .*|The input conditions.*|W\d{4} .*|If this is not desired.*)\n?",
    re.MULTILINE,
)


def compile_with_torch(
    request: BuildRequest,
    flags: Flags,
    toolchain: Toolchain,
    *,
    run: Run,
    folder: Path,
    deadline_s: float,
) -> Compiled:
    """Build with torch's headers and bindings to `folder/NAME.so`."""
    private = folder / "stock"
    private.mkdir()
    (folder / "tmp").mkdir()
    write_headers(request.headers, private / "headers")
    (private / "request.json").write_bytes(msgspec.json.encode(_asked(request, flags, private)))
    (private / "build.py").write_text(_SCRIPT, encoding="utf-8")
    environment = scrubbed_environment(folder / "tmp") | {"MAX_JOBS": "4", "CXX": toolchain.cxx}
    environment["PATH"] = (
        f"{Path(toolchain.python).parent}:{environment.get('PATH', '')}"  # ninja lies there
    )
    if toolchain.arch is not None:
        environment |= {"TORCH_CUDA_ARCH_LIST": toolchain.arch, "CUDA_HOME": str(toolchain.toolkit)}
    done = run([toolchain.python, "build.py"], cwd=private, env=environment, deadline_s=deadline_s)
    library = private / f"{request.name}.so"
    if done.exit_code == 0 and library.exists():
        shutil.move(library, folder / library.name)
        _keep_sources(request, folder)
    shutil.rmtree(private, ignore_errors=True)
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    return Compiled(
        built=done.exit_code == 0 and (folder / library.name).exists(),
        log=_cleaned(done.output, private),
        timed_out=done.exit_code is None,
        crashed=done.exit_code is not None and done.exit_code < 0,
    )


def _asked(request: BuildRequest, flags: Flags, private: Path) -> dict[str, object]:
    """load_inline's own arguments; lines are marked as in the light build."""
    include_paths = [*flags.include_paths, *([str(private / "headers")] if request.headers else [])]
    return {
        "name": request.name,
        "cpp_sources": [
            '#line 1 "cpp_source"\n' + "\n".join(request.cpp_sources) + '\n#line 1 "bindings"'
        ],
        "cuda_sources": ['#line 1 "cuda_source"\n' + "\n".join(request.cuda_sources)]
        if request.cuda_sources
        else None,
        "functions": request.functions,
        "extra_cflags": [*flags.host],
        "extra_cuda_cflags": ["-lineinfo", "-Xptxas", "-v", *flags.device],
        "extra_ldflags": [*flags.linker],
        "extra_include_paths": include_paths,
        "build_directory": str(private),
        "verbose": True,
        "with_cuda": request.with_cuda,
        "is_python_module": request.is_python_module,
        "no_implicit_headers": request.no_implicit_headers,
        "with_pytorch_error_handling": request.with_pytorch_error_handling,
    }


def _keep_sources(request: BuildRequest, folder: Path) -> None:
    for label, sources in (
        ("cpp_source", request.cpp_sources),
        ("cuda_source", request.cuda_sources),
    ):
        if sources:
            (folder / label).write_text("\n".join(sources) + "\n", encoding="utf-8")


def _cleaned(log: str, private: Path) -> str:
    """The compilers' words without ninja's, torch's and Python's around them."""
    text = log.partition("\nTraceback (most recent call last):")[0] if "error:" in log else log
    return readable(_NOISE.sub("", text), private)
