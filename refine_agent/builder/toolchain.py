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

from refine_agent.builder.headers import lay_out_headers
from refine_agent.builder.operators import Operators, read_operators
from refine_agent.builder.records import BuilderFault, Device, Finished, Run
from refine_agent.builder.store import Store, disk_full

_PACKAGE = Path(__file__).parent
_LIGHT = _PACKAGE / "light"
_NAME = re.compile(rb"[A-Za-z_]\w*")


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
    def toolkit(self) -> Path | None:
        """The CUDA toolkit's folder."""
        return None if self.nvcc is None else Path(self.nvcc).parent.parent

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

    return msgspec.json.decode(
        (folder / "toolchain.json").read_bytes(), type=Toolchain, dec_hook=as_path
    )


def _compilers(device: Device) -> tuple[str, str | None]:
    cxx = shutil.which(os.environ.get("CXX", "c++"))
    if cxx is None:
        raise BuilderFault(
            "there is no C++ compiler (c++) on PATH; install g++, or name one in CXX"
        )
    if device == "cpu":
        return cxx, None
    return cxx, str(_toolkit() / "bin/nvcc")


def _toolkit() -> Path:
    """The folder of the CUDA toolkit; an nvcc on PATH may be a wrapper that lies elsewhere."""
    named = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    on_path = shutil.which("nvcc")
    beside = [Path(on_path).resolve().parent.parent] if on_path else []
    for folder in (*named, *beside, Path("/usr/local/cuda")):
        if (folder / "bin/nvcc").exists() and (folder / "include/cuda_runtime.h").exists():
            return folder.resolve()
    raise BuilderFault(
        "there is no CUDA toolkit in CUDA_HOME, beside nvcc or in /usr/local/cuda; install it, or set CUDA_HOME"
    )


def _identity(*, python: str, cxx: str, nvcc: str | None, device: Device) -> str:
    """Changes when torch, a compiler, the device or the light headers do; costs a few stat calls."""
    parts = [python, device, os.environ.get("TORCH_CUDA_ARCH_LIST", "")]
    parts += [_fingerprint(Path(tool).resolve()) for tool in (cxx, nvcc) if tool is not None]
    version = _torch_folder(python) / "version.py"
    parts += [str(version), version.read_text(encoding="utf-8"), _fingerprint(version)]
    parts += [
        path.read_text(encoding="utf-8") for path in sorted(_LIGHT.iterdir()) if path.is_file()
    ]
    parts += [
        (_PACKAGE / name).read_text(encoding="utf-8")
        for name in ("toolchain.py", "headers.py", "operators.py", "probe.py")
    ]
    parts += (
        sorted(path.read_text() for path in Path("/proc/driver/nvidia/gpus").glob("*/information"))
        if nvcc
        else []
    )
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
    asked = subprocess.run(
        [python, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )  # noqa: S603
    if asked.returncode != 0:
        raise BuilderFault(f"{python} has no torch; install torch there")
    return Path(asked.stdout.strip()).parent


def _probe(*, run: Run, cwd: Path, device: Device, python: str) -> TorchFacts:
    script = cwd / "probe.py"
    script.write_text((_PACKAGE / "probe.py").read_text(encoding="utf-8"), encoding="utf-8")
    done = run(
        [python, str(script), device], cwd=cwd, env=scrubbed_environment(cwd), deadline_s=120
    )
    if done.exit_code != 0:
        raise BuilderFault(
            f"torch cannot be imported by {python}; repair its installation: {done.output[-500:].strip()}"
        )
    return msgspec.json.decode(done.output.strip().splitlines()[-1], type=TorchFacts)


def _architecture(facts: TorchFacts) -> str:
    """The device's own, with the suffix that wgmma and its successors need."""
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    arch = wanted[-1].removesuffix("+PTX") if wanted else facts.capability
    if arch is None:
        raise BuilderFault(
            "torch sees no CUDA device to build for; set TORCH_CUDA_ARCH_LIST (for example 9.0a), or use --device cpu"
        )
    major = int(arch.split(".")[0])
    return f"{arch}a" if major >= 9 and arch[-1].isdigit() else arch  # noqa: PLR2004 - Hopper and later


def _fill(toolchain: Toolchain, *, run: Run, cache: Path, deadline_s: float) -> None:
    torch_include = Path(toolchain.facts.package) / "include"
    lay_out_headers(toolchain.include, torch_include=torch_include)
    try:
        operators = read_operators(torch_include)
    except (OSError, ValueError) as error:
        raise BuilderFault(
            f"torch's headers cannot be read ({error}); use --stock-builds"
        ) from error
    (toolchain.folder / "operators.json").write_bytes(msgspec.json.encode(operators))
    (toolchain.folder / "names.txt").write_text(
        "\n".join(sorted(_names_of(torch_include))), encoding="utf-8"
    )
    done = _build_shim(toolchain, run=run, deadline_s=deadline_s)
    if done.exit_code != 0:
        if "No space left on device" in done.output:
            raise disk_full(cache)
        errors = "\n".join(line for line in done.output.splitlines() if "error" in line)[:1500]
        raise BuilderFault(
            f"the shim does not build against torch {toolchain.facts.torch}; use --stock-builds:\n{errors}"
        )


def _names_of(torch_include: Path) -> Iterator[str]:
    seen: set[bytes] = set()
    for folder in ("torch", "ATen", "c10"):
        for path in (torch_include / folder).rglob("*"):
            if path.suffix in (".h", ".cuh", ".hpp"):
                seen.update(_NAME.findall(path.read_bytes()))
    return (name.decode() for name in seen)


def _build_shim(toolchain: Toolchain, *, run: Run, deadline_s: float) -> Finished:
    facts = toolchain.facts
    with_cuda = facts.torch_cuda is not None and toolchain.toolkit is not None
    for name in ("shim.cpp", "abi.h"):  # and no -I: light/cuda.h must not answer <cuda.h>
        shutil.copyfile(_LIGHT / name, toolchain.folder / name)
    libraries = ["c10", "torch_cpu", "torch", "torch_python"]
    argv = [
        toolchain.cxx,
        f"-std={facts.standard}",
        "-O1",
        "-fPIC",
        "-shared",
        "-w",
        "-fvisibility=hidden",
    ]
    argv += [f"-D_GLIBCXX_USE_CXX11_ABI={0 if facts.old_abi else 1}"]
    argv += [f"-isystem{path}" for path in (*facts.include_paths, facts.python_include)]
    # -iquote, not -I: our own cuda.h must not answer for the toolkit's <cuda.h>.
    argv += ["-iquote", str(toolchain.include / "light")]
    if with_cuda:
        argv += [
            "-DRA_WITH_CUDA",
            f"-isystem{toolchain.toolkit}/include",
            f"-L{toolchain.toolkit}/lib64",
        ]
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
