"""Owns what is made once per torch and compiler: the shim, torch's operators and names, as files.

Building candidates with them is left to `light_build` and `stock_build`.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterable
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
_MACRO = re.compile(rb"^[ \t]*#[ \t]*define[ \t]+(\w+)", re.MULTILINE)
_METHOD = re.compile(rb"^  (?:[^/\n][^\n]*?)?\b(\w+)\(", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w*")
_NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|^[ \t]*#(?:[^\n]*\\\n)*[^\n]*',
    re.DOTALL | re.MULTILINE,
)
_STATEMENT = re.compile(r"([^{};]*)([{};])")
_SCOPE = re.compile(r"\b(?:namespace\s*[\w:]*|enum\b[^;()]*|extern)\s*\Z")
_NAMESPACE = re.compile(r"\bnamespace\s+[\w:]+")
_SHIM_SOURCES = ("shim.cpp", "shim_python.cpp", "abi.h")
_FOLDERS: dict[str, Path] = {}  # of torch, by the Python that was asked: a folder does not move
_FIRST_WITH_SUFFIX = 9  # Hopper: wgmma builds for sm_90a only, and so it went on from there


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
    """Holds include/, libra_shim.so, operators.json and names.json."""
    python: str
    cxx: str
    nvcc: str | None
    arch: str | None
    """Of the device, with the architecture-specific suffix where there is one: "9.0a"."""
    facts: TorchFacts
    unfit: str | None = None
    """Why the light headers cannot serve this torch; every build is then torch's own."""

    @property
    def include(self) -> Path:
        """The light headers, under their own names and under torch's."""
        return self.folder / "include"

    @property
    def pybind11(self) -> Path:
        """Holds torch's copy of pybind11, and nothing else of its include folder."""
        return self.folder / "objects/include"

    @property
    def shim(self) -> Path:
        """The library that candidates built on the light headers are linked with."""
        return self.folder / "libra_shim.so"

    @property
    def toolkit(self) -> Path | None:
        """The CUDA toolkit's folder."""
        return None if self.nvcc is None else Path(self.nvcc).parent.parent

    def operators(self) -> Operators:
        """Every operator that torch declares, as C++ text."""
        return _operators(self.folder / "operators.json")

    def names(self) -> "Names":
        """The identifiers that torch's headers mention, and those of them that are ours too."""
        return _names(self.folder / "names.json")


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Identifiers, to tell what the light headers lack from what nobody has."""

    torch: frozenset[str]
    """Mentioned anywhere in torch's headers."""
    macros: frozenset[str]
    """Defined there by the preprocessor."""
    tensor: frozenset[str]
    """Followed by a parenthesis where torch declares its Tensor: the methods, and little else."""
    light: frozenset[str]
    """Declared by the light headers, whether or not a candidate's includes show them: outside of
    classes and functions, and macros."""


def prepare(
    *, run: Run, cache: Path, device: Device, python: str = sys.executable, deadline_s: float = 600
) -> Toolchain:
    """Find the compilers, ask torch about itself, and build the shim; afterwards, just find it.

    Raises:
        BuilderFault: no compiler, no torch, a full disk or a cache that cannot be written.
    """
    store = Store(cache)
    cxx, nvcc = _compilers(device)
    tools = [python, cxx, *([] if nvcc is None else [nvcc])]
    key = _identity(_torch_folder(python, run), tools=tools, device=device)
    if (folder := store.find(key)) is not None:
        return _opened(folder)
    with store.making(key) as making:
        if (folder := store.find(key)) is not None:  # another process was faster
            return _opened(folder)
        facts = _probe(run=run, cwd=making, device=device, python=python)
        arch = _architecture(facts) if device == "cuda" else None
        toolchain = Toolchain(
            key=key, folder=making, python=python, cxx=cxx, nvcc=nvcc, arch=arch, facts=facts
        )
        unfit = _fill(toolchain, run=run, cache=cache, deadline_s=deadline_s)
        made = msgspec.structs.replace(toolchain, folder=store.entry(key), unfit=unfit)
        (making / "toolchain.json").write_bytes(msgspec.json.encode(made, enc_hook=str))
        store.publish(key, making)
    return made


def scrubbed_environment(tmp: Path) -> dict[str, str]:
    """What a compiler needs of the environment: no keys, no CPATH, no wrappers."""
    kept = (
        *("PATH", "LD_LIBRARY_PATH", "PYTHONPATH"),
        *("CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
    )
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {"LC_ALL": "C", "HOME": str(tmp), "TMPDIR": str(tmp)}


def _opened(folder: Path) -> Toolchain:
    written = (folder / "toolchain.json").read_bytes()
    return msgspec.json.decode(written, type=Toolchain, dec_hook=lambda _, text: Path(text))


def _compilers(device: Device) -> tuple[str, str | None]:
    cxx = shutil.which(os.environ.get("CXX", "c++"))
    if cxx is None:
        raise BuilderFault("there is no C++ compiler (c++) on PATH; install g++, or name it in CXX")
    return cxx, None if device == "cpu" else str(_toolkit() / "bin/nvcc")


def _toolkit() -> Path:
    """The folder of the CUDA toolkit; an nvcc on PATH may be a wrapper that lies elsewhere."""
    named = [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    on_path = shutil.which("nvcc")
    beside = [Path(on_path).resolve().parent.parent] if on_path else []
    for folder in (*named, *beside, Path("/usr/local/cuda")):
        if (folder / "bin/nvcc").exists() and (folder / "include/cuda_runtime.h").exists():
            return folder.resolve()
    raise BuilderFault(
        "there is no CUDA toolkit in CUDA_HOME, beside nvcc or in /usr/local/cuda; install one, or "
        "say where it is in CUDA_HOME"
    )


def _identity(torch: Path, *, tools: list[str], device: Device) -> str:
    """Changes when torch, a compiler, the device or the light headers do; a few stat calls."""
    version = torch / "version.py"
    parts = [device, *_devices(device)]
    parts += [f"{tool} {_fingerprint(Path(tool).resolve())}" for tool in tools]
    parts += [_fingerprint(version), version.read_text(encoding="utf-8")]
    ours = [*sorted(_LIGHT.glob("*.*")), *sorted(_PACKAGE.glob("*.py"))]
    parts += [path.read_text(encoding="utf-8") for path in ours]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _devices(device: Device) -> list[str]:
    """The architectures asked for, and the models of the GPUs here, as the driver spells them."""
    if device == "cpu":
        return []
    told = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = (line for path in told for line in path.read_text(encoding="utf-8").splitlines())
    models = (line for line in lines if line.startswith("Model:"))
    return [os.environ.get("TORCH_CUDA_ARCH_LIST", ""), *models]


def _fingerprint(path: Path) -> str:
    seen = path.stat()
    return f"{path}:{seen.st_size}:{seen.st_mtime_ns}"


def _torch_folder(python: str, run: Run) -> Path:
    """Where that Python would import torch from, found without importing it."""
    if python in _FOLDERS:
        return _FOLDERS[python]
    if python == sys.executable:
        spec = importlib.util.find_spec("torch")
        origin = None if spec is None else spec.origin
    else:
        code = "import importlib.util as u; print(u.find_spec('torch').origin)"
        here = Path(python).parent
        environment = scrubbed_environment(here)
        done = run([python, "-c", code], cwd=here, env=environment, deadline_s=60)
        origin = done.output.strip() if done.exit_code == 0 else None
    if origin is None:
        raise BuilderFault(f"{python} has no torch; install torch for it")
    return _FOLDERS.setdefault(python, Path(origin).parent)


def _probe(*, run: Run, cwd: Path, device: Device, python: str) -> TorchFacts:
    script = cwd / "probe.py"
    shutil.copyfile(_PACKAGE / "probe.py", script)
    argv = [python, str(script), device]
    done = run(argv, cwd=cwd, env=scrubbed_environment(cwd), deadline_s=120)
    if done.exit_code != 0:
        told = done.output.strip()[-500:]
        raise BuilderFault(f"{python} cannot import torch; repair its installation: {told}")
    return msgspec.json.decode(done.output.strip().splitlines()[-1], type=TorchFacts)


def _architecture(facts: TorchFacts) -> str:
    """The device's own, with the suffix that wgmma and its successors need."""
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    arch = wanted[-1].removesuffix("+PTX") if wanted else facts.capability
    if arch is None:
        raise BuilderFault(
            "torch sees no CUDA device to build for; name an architecture in "
            "TORCH_CUDA_ARCH_LIST (9.0a is Hopper's), or choose --device cpu"
        )
    has_suffix = int(arch.split(".")[0]) >= _FIRST_WITH_SUFFIX and arch[-1].isdigit()
    return f"{arch}a" if has_suffix else arch


def _fill(toolchain: Toolchain, *, run: Run, cache: Path, deadline_s: float) -> str | None:
    """Make what light builds need; says why where this torch is too different."""
    torch_include = Path(toolchain.facts.package) / "include"
    lay_out_headers(toolchain.include, torch_include=torch_include)
    if (torch_include / "pybind11/pybind11.h").exists():
        toolchain.pybind11.mkdir(parents=True)
        (toolchain.pybind11 / "pybind11").symlink_to(torch_include / "pybind11")
    try:
        operators = read_operators(torch_include)
    except ValueError as error:
        return str(error)
    (toolchain.folder / "operators.json").write_bytes(msgspec.json.encode(operators))
    names = _names_of(torch_include, toolchain.include)
    (toolchain.folder / "names.json").write_bytes(msgspec.json.encode(names))
    return _build_shim(toolchain, run=run, cache=cache, deadline_s=deadline_s)


def _names_of(torch_include: Path, include: Path) -> Names:
    headers = [p for name in ("torch", "ATen", "c10") for p in _headers_below(torch_include / name)]
    tensor = [torch_include / f"ATen/core/Tensor{part}.h" for part in ("Body", "Base")]
    return Names(
        torch=_found(_NAME, headers),
        macros=_found(_MACRO, headers),
        tensor=_found(_METHOD, tensor),
        light=_declared(_LIGHT.glob("*.h")) | _found(_MACRO, _headers_below(include)),
    )


def _headers_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in (".h", ".cuh", ".hpp")]


def _declared(headers: Iterable[Path]) -> frozenset[str]:
    """Identifiers at namespace scope; namespaces themselves are everybody's and tell nothing."""
    seen: set[str] = set()
    for path in headers:
        text = _NOT_CODE.sub(" ", path.read_text(encoding="utf-8"))
        inside: list[bool] = []  # per open brace: whether it is a namespace's or an enumeration's
        for statement, end in _STATEMENT.findall(text):
            if all(inside):
                seen.update(_WORD.findall(_NAMESPACE.sub(" ", statement)))
            if end == "{":
                inside.append(_SCOPE.search(statement) is not None)
            elif end == "}" and inside:
                inside.pop()
    return frozenset(seen)


def _found(pattern: re.Pattern[bytes], headers: list[Path]) -> frozenset[str]:
    seen: set[bytes] = set()
    for path in headers:
        seen.update(pattern.findall(path.read_bytes()))
    return frozenset(name.decode() for name in seen)


def _build_shim(toolchain: Toolchain, *, run: Run, cache: Path, deadline_s: float) -> str | None:
    """Compile the shim, or take it from another toolchain whose torch and compiler are the same."""
    argv = _shim_command(toolchain)
    store, digest = Store(cache), _shim_identity(toolchain, argv)
    if (made := store.find(digest)) is None:
        with store.making(digest) as folder:
            if (made := store.find(digest)) is None:
                done = _compiled_shim(argv, folder, run=run, deadline_s=deadline_s)
                if done.exit_code != 0:
                    return _why_no_shim(done, toolchain, cache)
                made = store.publish(digest, folder)
    shutil.copyfile(made / toolchain.shim.name, toolchain.shim)
    return None


def _shim_identity(toolchain: Toolchain, argv: list[str]) -> str:
    """Changes with the shim's text, torch and the compiler."""
    version = Path(toolchain.facts.package) / "version.py"
    parts = [*argv, *(_fingerprint(path.resolve()) for path in (Path(toolchain.cxx), version))]
    parts += [(_LIGHT / name).read_text(encoding="utf-8") for name in _SHIM_SOURCES]
    parts += [toolchain.facts.torch, toolchain.facts.torch_commit]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:36]


def _compiled_shim(argv: list[str], folder: Path, *, run: Run, deadline_s: float) -> Finished:
    tmp = folder / "tmp"
    tmp.mkdir()
    for name in _SHIM_SOURCES:  # and no -I: light/cuda.h must not answer <cuda.h>
        shutil.copyfile(_LIGHT / name, folder / name)
    done = run(argv, cwd=folder, env=scrubbed_environment(tmp), deadline_s=deadline_s)
    shutil.rmtree(tmp, ignore_errors=True)
    return done


def _why_no_shim(done: Finished, toolchain: Toolchain, cache: Path) -> str:
    """This torch is too different; raises where the machine is at fault instead."""
    if "No space left on device" in done.output:
        raise disk_full(cache)
    if done.exit_code is None or done.exit_code < 0 or "Killed signal" in done.output:
        raise BuilderFault(
            f"the compiler was stopped while it built the shim for torch {toolchain.facts.torch}; "
            "try again with more memory or fewer programs running"
        )
    errors = [line for line in done.output.splitlines() if "error" in line][:5]
    told = "\n".join(errors)
    return f"the shim does not build against torch {toolchain.facts.torch}: {told}"


def _shim_command(toolchain: Toolchain) -> list[str]:
    facts = toolchain.facts
    includes = [*facts.include_paths, facts.python_include]
    libraries = ["c10", "torch_cpu", "torch", "torch_python"]
    cuda: list[str] = []
    if facts.torch_cuda is not None and toolchain.toolkit is not None:
        includes.append(f"{toolchain.toolkit}/include")
        libraries += ["c10_cuda", "torch_cuda"]
        cuda = ["-DRA_WITH_CUDA", f"-L{toolchain.toolkit}/lib64"]
        libraries += ["cudart"] if (toolchain.toolkit / "lib64/libcudart.so").exists() else []
    return [
        toolchain.cxx,
        *(f"-std={facts.standard}", "-O1", "-fPIC", "-shared", "-w", "-fvisibility=hidden"),
        f"-D_GLIBCXX_USE_CXX11_ABI={0 if facts.old_abi else 1}",
        *cuda,
        *(f"-isystem{path}" for path in includes),
        *("shim.cpp", "-o", toolchain.shim.name, "-Wl,--no-as-needed", f"-L{facts.package}/lib"),
        *(f"-Wl,-rpath,{facts.package}/lib", *(f"-l{name}" for name in libraries)),
    ]


@lru_cache(maxsize=4)
def _operators(path: Path) -> Operators:
    return msgspec.json.decode(path.read_bytes(), type=Operators)


@lru_cache(maxsize=4)
def _names(path: Path) -> Names:
    return msgspec.json.decode(path.read_bytes(), type=Names)
