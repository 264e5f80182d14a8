"""Owns what is made once per torch and compiler: the probe, the shim, the wrappers, the known names.

Building candidates with them is left to `light` and `stock` builds.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from refine_agent.builder.operators import Operators, read_operators
from refine_agent.builder.records import BuilderFault, Device, Finished, Run
from refine_agent.builder.store import Store, disk_full

_PACKAGE = Path(__file__).parent
_LIGHT = _PACKAGE / "light"
_NAME = re.compile(rb"[A-Za-z_]\w*")
# Definitions with their continuation lines, and the conditions around them.
_DIRECTIVE = re.compile(r"^[ \t]*#[ \t]*(?:define|undef|if|ifdef|ifndef|elif|else|endif)\b(?:[^\n]*\\\n)*[^\n]*\n", re.MULTILINE)
_DISPATCH_HEADERS = ("torch/headeronly/core/Dispatch.h", "torch/headeronly/core/Dispatch_v2.h", "ATen/Dispatch.h", "ATen/Dispatch_v2.h")
# What torch ships that a candidate may include, and the light header that answers.
_TORCH_HEADERS = """
torch/extension.h torch/types.h torch/torch.h torch/all.h torch/script.h torch/library.h
torch/csrc/api/include/torch/types.h torch/csrc/api/include/torch/torch.h torch/csrc/autograd/variable.h
ATen/ATen.h ATen/Tensor.h ATen/core/Tensor.h ATen/core/TensorBody.h ATen/core/TensorBase.h ATen/Functions.h
ATen/TensorUtils.h ATen/TensorOperators.h ATen/TensorIndexing.h ATen/Dispatch.h ATen/Dispatch_v2.h ATen/ScalarOps.h
ATen/Parallel.h ATen/ParallelOpenMP.h ATen/OpMathType.h ATen/AccumulateType.h ATen/NumericUtils.h
ATen/core/TensorAccessor.h ATen/core/ScalarType.h ATen/core/Scalar.h ATen/Scalar.h ATen/ScalarType.h
ATen/Device.h ATen/DeviceGuard.h ATen/TensorOptions.h ATen/core/Reduction.h ATen/native/Resize.h
ATen/WrapDimUtils.h ATen/ceil_div.h ATen/core/grad_mode.h ATen/Context.h ATen/Utils.h ATen/ExpandUtils.h
ATen/core/DeprecatedTypeProperties.h ATen/MemoryOverlap.h ATen/Config.h ATen/record_function.h
c10/core/Device.h c10/core/DeviceType.h c10/core/ScalarType.h c10/core/Scalar.h c10/core/TensorOptions.h
c10/core/MemoryFormat.h c10/core/Layout.h c10/core/DeviceGuard.h c10/core/Stream.h c10/core/GradMode.h
c10/core/InferenceMode.h c10/core/WrapDimMinimal.h c10/core/DefaultDtype.h c10/macros/Macros.h
c10/macros/Export.h c10/util/Exception.h c10/util/Optional.h c10/util/ArrayRef.h c10/util/Half.h
c10/util/BFloat16.h c10/util/irange.h c10/util/StringUtil.h c10/util/string_view.h c10/util/SmallVector.h
c10/util/OptionalArrayRef.h c10/util/MathConstants.h c10/util/TypeCast.h c10/util/Logging.h
c10/util/Float8_e4m3fn.h c10/util/Float8_e5m2.h c10/util/accumulate.h c10/util/MaybeOwned.h
torch/headeronly/util/Half.h torch/headeronly/util/BFloat16.h torch/headeronly/core/ScalarType.h
torch/headeronly/macros/Macros.h torch/headeronly/util/Exception.h
""".split()
_TORCH_CUDA_HEADERS = """
ATen/cuda/CUDAContext.h ATen/cuda/CUDAContextLight.h ATen/cuda/Exceptions.h ATen/cuda/CUDABlas.h ATen/cuda/CUDAUtils.h
ATen/cuda/CUDAEvent.h ATen/cuda/Atomic.cuh ATen/cuda/DeviceUtils.cuh ATen/cuda/CUDADevice.h
ATen/cuda/detail/KernelUtils.h ATen/cuda/CUDAGuard.h ATen/cuda/CUDAGeneratorImpl.h ATen/cuda/PhiloxCudaState.h
ATen/cuda/detail/IndexUtils.cuh ATen/cuda/ApplyGridUtils.cuh ATen/cuda/NumericLimits.cuh
ATen/native/cuda/KernelUtils.cuh ATen/native/cuda/KernelUtils.h
c10/cuda/CUDAGuard.h c10/cuda/CUDAStream.h c10/cuda/CUDAException.h c10/cuda/CUDAFunctions.h
c10/cuda/CUDAMathCompat.h c10/cuda/CUDAMacros.h c10/cuda/CUDACachingAllocator.h c10/cuda/CUDAMiscFunctions.h
torch/cuda.h torch/csrc/cuda/Stream.h
""".split()


class TorchFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What `probe` prints."""

    torch: str
    torch_commit: str
    torch_cuda: str | None
    package: str
    include_paths: tuple[str, ...]
    cuda_home: str | None
    nvcc_flags: tuple[str, ...]
    standard: str
    python_include: str
    capability: str | None
    old_abi: bool


class Toolchain(msgspec.Struct, frozen=True, kw_only=True):
    """One torch, one C++ compiler, one nvcc, and what was made from them."""

    key: str
    folder: Path
    """Holds include/, libra_shim.so, operators.json and names.txt."""
    python: str
    cxx: str
    nvcc: str | None
    arch: str | None
    """Of the device, with the architecture-specific suffix where there is one: "9.0a"."""
    facts: TorchFacts

    @property
    def include(self) -> Path:
        """The light headers, forwarders under torch's names included."""
        return self.folder / "include"

    @property
    def shim(self) -> Path:
        """The library that candidates built on the light headers are linked with."""
        return self.folder / "libra_shim.so"

    @property
    def cuda_folder(self) -> Path | None:
        """The CUDA toolkit, links followed."""
        return None if self.nvcc is None else Path(self.nvcc).resolve().parent.parent

    def operators(self) -> Operators:
        """torch's operators, as text."""
        return _operators(self.folder / "operators.json")

    def knows(self, name: str) -> bool:
        """Whether any header of torch mentions this identifier."""
        return name in _known_names(self.folder / "names.txt")


def prepare(
    *, run: Run, cache: Path, device: Device, python: str = sys.executable, deadline_s: float = 600
) -> Toolchain:
    """Find the compilers, ask torch about itself, and build the shim; afterwards, just find it.

    Raises:
        BuilderFault: no compiler, no torch, a full disk or a cache that cannot be written.
    """
    store = Store(cache)
    cxx, nvcc = _compilers(device)
    key = _identity(python=python, cxx=cxx, nvcc=nvcc, device=device)
    if (folder := store.find(key)) is not None:
        return _opened(folder)
    with store.making(key) as making:
        if (folder := store.find(key)) is not None:  # another process was faster
            return _opened(folder)
        facts = _probe(run=run, cwd=making, device=device, python=python)
        toolchain = Toolchain(
            key=key, folder=making, python=python, cxx=cxx, nvcc=nvcc,
            arch=_architecture(facts) if device == "cuda" else None, facts=facts,
        )  # fmt: skip
        _fill(toolchain, run=run, cache=cache, deadline_s=deadline_s)
        published = msgspec.structs.replace(toolchain, folder=store.entry(key))
        (making / "toolchain.json").write_bytes(msgspec.json.encode(published, enc_hook=str))
        store.publish(key, making)
    return published


def scrubbed_environment(tmp: Path) -> dict[str, str]:
    """What a compiler needs of the environment, and nothing else: no keys, no CPATH, no wrappers."""
    kept = ("PATH", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {"LC_ALL": "C.UTF-8", "HOME": str(tmp), "TMPDIR": str(tmp)}


def _opened(folder: Path) -> Toolchain:
    def as_path(_: type, text: str) -> Path:
        return Path(text)

    return msgspec.json.decode((folder / "toolchain.json").read_bytes(), type=Toolchain, dec_hook=as_path)


def _compilers(device: Device) -> tuple[str, str | None]:
    cxx = shutil.which(os.environ.get("CXX", "c++"))
    if cxx is None:
        raise BuilderFault("there is no C++ compiler (c++) on PATH; install g++, or name one in CXX")
    if device == "cpu":
        return cxx, None
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc", path=f"{home}/bin") if home else None
    nvcc = nvcc or shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
    if nvcc is None:
        raise BuilderFault("there is no nvcc on PATH or under /usr/local/cuda; install the CUDA toolkit, or set CUDA_HOME")
    return cxx, nvcc


def _identity(*, python: str, cxx: str, nvcc: str | None, device: Device) -> str:
    """Changes when torch, a compiler, the device or the light headers do; costs a few stat calls."""
    parts = [python, device, os.environ.get("TORCH_CUDA_ARCH_LIST", "")]
    parts += [_fingerprint(Path(tool).resolve()) for tool in (cxx, nvcc) if tool is not None]
    version = _torch_folder(python) / "version.py"
    parts += [str(version), version.read_text(encoding="utf-8"), _fingerprint(version)]
    parts += [path.read_text(encoding="utf-8") for path in sorted(_LIGHT.iterdir()) if path.is_file()]
    parts += [(_PACKAGE / name).read_text(encoding="utf-8") for name in ("toolchain.py", "operators.py", "probe.py")]
    parts += sorted(path.read_text() for path in Path("/proc/driver/nvidia/gpus").glob("*/information")) if nvcc else []
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _fingerprint(path: Path) -> str:
    seen = path.stat()
    return f"{path}:{seen.st_size}:{seen.st_mtime_ns}"


def _torch_folder(python: str) -> Path:
    """Where that Python would import torch from, without importing it."""
    if python != sys.executable:
        return _foreign_torch_folder(python)
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise BuilderFault(f"{python} has no torch; install torch there")
    return Path(spec.origin).parent


@lru_cache
def _foreign_torch_folder(python: str) -> Path:
    import subprocess  # noqa: PLC0415 - only when workers use another Python than ours

    code = "import importlib.util as u; print(u.find_spec('torch').origin)"
    asked = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    if asked.returncode != 0:
        raise BuilderFault(f"{python} has no torch; install torch there")
    return Path(asked.stdout.strip()).parent


def _probe(*, run: Run, cwd: Path, device: Device, python: str) -> TorchFacts:
    script = cwd / "probe.py"
    script.write_text((_PACKAGE / "probe.py").read_text(encoding="utf-8"), encoding="utf-8")
    done = run([python, str(script), device], cwd=cwd, env=scrubbed_environment(cwd), deadline_s=120)
    if done.exit_code != 0:
        raise BuilderFault(f"torch cannot be imported by {python}; repair its installation: {done.output[-500:].strip()}")
    return msgspec.json.decode(done.output.strip().splitlines()[-1], type=TorchFacts)


def _architecture(facts: TorchFacts) -> str:
    """The device's own, with the suffix that wgmma and its successors need."""
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    arch = wanted[-1].removesuffix("+PTX") if wanted else facts.capability
    if arch is None:
        raise BuilderFault("torch sees no CUDA device to build for; set TORCH_CUDA_ARCH_LIST (for example 9.0a), or use --device cpu")
    major = int(arch.split(".")[0])
    return f"{arch}a" if major >= 9 and arch[-1].isdigit() else arch  # noqa: PLR2004 - Hopper and later


def _fill(toolchain: Toolchain, *, run: Run, cache: Path, deadline_s: float) -> None:
    torch_include = Path(toolchain.facts.package) / "include"
    _copy_headers(toolchain, torch_include)
    try:
        operators = read_operators(torch_include)
    except (OSError, ValueError) as error:
        raise BuilderFault(f"torch's headers cannot be read ({error}); use --stock-builds") from error
    (toolchain.folder / "operators.json").write_bytes(msgspec.json.encode(operators))
    (toolchain.folder / "names.txt").write_text("\n".join(sorted(_names_of(torch_include))), encoding="utf-8")
    done = _build_shim(toolchain, run=run, deadline_s=deadline_s)
    if done.exit_code != 0:
        if "No space left on device" in done.output:
            raise disk_full(cache)
        errors = "\n".join(line for line in done.output.splitlines() if "error" in line)[:1500]
        raise BuilderFault(f"the shim does not build against torch {toolchain.facts.torch}; use --stock-builds:\n{errors}")


def _copy_headers(toolchain: Toolchain, torch_include: Path) -> None:
    light = toolchain.include / "light"
    light.mkdir(parents=True)
    for header in _LIGHT.glob("*.h"):
        shutil.copyfile(header, light / header.name)
    (light / "dispatch.h").write_text(_dispatch_macros(torch_include), encoding="utf-8")
    for names, target in ((_TORCH_HEADERS, "torch.h"), (_TORCH_CUDA_HEADERS, "cuda.h")):
        for name in names:
            forwarder = toolchain.include / name
            forwarder.parent.mkdir(parents=True, exist_ok=True)
            more = '#include <light/torch.h>\n' if target == "cuda.h" else ""
            forwarder.write_text(f"#pragma once\n{more}#include <light/{target}>\n", encoding="utf-8")


def _dispatch_macros(torch_include: Path) -> str:
    """torch's own AT_DISPATCH macros, and nothing else of their headers."""
    text = "// Owns the AT_DISPATCH macros: taken from the installed torch.\n#pragma once\n"
    for name in _DISPATCH_HEADERS:
        header = torch_include / name
        if header.exists():
            text += "".join(_DIRECTIVE.findall(header.read_text(encoding="utf-8")))
    return text + "#undef AT_PRIVATE_CHECK_SELECTIVE_BUILD\n#define AT_PRIVATE_CHECK_SELECTIVE_BUILD(type)\n"


def _names_of(torch_include: Path) -> Iterator[str]:
    seen: set[bytes] = set()
    for folder in ("torch", "ATen", "c10"):
        for path in (torch_include / folder).rglob("*"):
            if path.suffix in (".h", ".cuh", ".hpp"):
                seen.update(_NAME.findall(path.read_bytes()))
    return (name.decode() for name in seen)


def _build_shim(toolchain: Toolchain, *, run: Run, deadline_s: float) -> Finished:
    facts = toolchain.facts
    with_cuda = facts.torch_cuda is not None and toolchain.cuda_folder is not None
    shutil.copyfile(_LIGHT / "shim.cpp", toolchain.folder / "shim.cpp")
    libraries = ["c10", "torch_cpu", "torch", "torch_python"]
    argv = [toolchain.cxx, f"-std={facts.standard}", "-O1", "-fPIC", "-shared", "-w", "-fvisibility=hidden"]
    argv += [f"-D_GLIBCXX_USE_CXX11_ABI={0 if facts.old_abi else 1}"]
    argv += [f"-isystem{path}" for path in (*facts.include_paths, facts.python_include)]
    argv += [f"-I{toolchain.include / 'light'}"]
    if with_cuda:
        argv += ["-DRA_WITH_CUDA", f"-isystem{toolchain.cuda_folder}/include", f"-L{toolchain.cuda_folder}/lib64"]
        libraries += ["c10_cuda", "torch_cuda", "cudart"]
    argv += ["shim.cpp", "-o", toolchain.shim.name, "-Wl,--no-as-needed", f"-L{facts.package}/lib"]
    argv += [f"-Wl,-rpath,{facts.package}/lib", *(f"-l{name}" for name in libraries)]
    (toolchain.folder / "tmp").mkdir(exist_ok=True)
    environment = scrubbed_environment(toolchain.folder / "tmp")
    done = run(argv, cwd=toolchain.folder, env=environment, deadline_s=deadline_s)
    shutil.rmtree(toolchain.folder / "tmp", ignore_errors=True)
    return done


@lru_cache(maxsize=4)
def _operators(path: Path) -> Operators:
    return msgspec.json.decode(path.read_bytes(), type=Operators)


@lru_cache(maxsize=4)
def _known_names(path: Path) -> frozenset[str]:
    return frozenset(path.read_text(encoding="utf-8").split("\n"))
