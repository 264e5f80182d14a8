"""What the bench knows of the machine without torch: devices, versions, locks, caches.

It owns reading those and naming them in one place; measuring them is the judge's business.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import stat
import subprocess
import tempfile
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from refine_agent.judge.settled import Known
from refine_agent.loop import BenchFault
from refine_agent.records import Environment, digest_of
from refine_agent.worker.fence import FIRST_UID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from refine_agent.judge.settled import Settled
    from refine_agent.profiling.records import Ceilings
    from refine_agent.records import Problem

# Builds on a machine of few cores slow whatever is being timed beside them.
FEW_CORES = 4
# Every run looks for its locks there, whoever started it and whatever TMPDIR it was given.
LOCKS = Path("/tmp")  # noqa: S108 - no secret is kept there, and links are not followed
# Of what a tool left behind this much is read; more is somebody's noise.
MAX_TEXT_BYTES = 1 << 20


def cache_folder() -> Path:
    """Return where artifacts are shared between runs: REFINE_AGENT_CACHE, or below XDG's cache."""
    named = os.environ.get("REFINE_AGENT_CACHE")
    if named:
        folder = Path(named).expanduser().resolve()
    else:
        xdg = os.environ.get("XDG_CACHE_HOME", "")
        folder = (Path(xdg) if xdg else Path.home() / ".cache") / "refine_agent"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise BenchFault(
            f"the cache {folder} cannot be made ({why.strerror}); set REFINE_AGENT_CACHE to a "
            "folder that can be written"
        ) from why
    return folder


def remove(folder: Path) -> None:
    """Remove a folder and all in it, however deep and whatever its modes.

    By ``rm``: a candidate may nest folders deeper than Python recurses, or lock them.
    """
    command = ["rm", "-rf", "--one-file-system", "--", str(folder)]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        # chmod leaves symbolic links, and so what they point to, alone.
        opened = ["chmod", "-R", "u+rwx", "--", str(folder)]
        subprocess.run(opened, stderr=subprocess.DEVNULL, check=False)
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


def text_in(path: Path) -> str | None:
    """Return the first MiB of a plain file as text; ``None`` if none is there.

    Where a candidate may write something else may lie: a pipe that never ends, a link to anywhere.
    """
    plainly = os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(path, "rb", opener=lambda name, how: os.open(name, how | plainly)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            return file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


# --- devices --------------------------------------------------------------------------------------


def visible_device(asked: str | None) -> str | None:
    """Return what CUDA_VISIBLE_DEVICES must be for "cuda:1", or ``None`` to leave it alone.

    Devices are counted as torch counts them: where some are masked, among those that are shown.
    """
    if asked is None or asked == "cpu":
        return None
    found = re.fullmatch(r"cuda(?::(\d+))?", asked)
    if found is None:
        raise BenchFault(f"--device {asked} is not known; say cpu, cuda or cuda:N")
    number, mask = found[1], _mask()
    if number is None or mask is None:
        return number
    # As CUDA reads it: numbers, UUIDs or names of MIG slices, up to the first that is none.
    shown = list(takewhile(lambda name: name not in {"", "-1"}, map(str.strip, mask.split(","))))
    if int(number) >= len(shown):
        raise BenchFault(
            f"--device {asked} was asked for, and CUDA_VISIBLE_DEVICES={mask} shows {len(shown)} "
            "(cuda:0 is the first of them); ask for one of those, or change the variable"
        )
    return shown[int(number)]


@cache
def _mask() -> str | None:
    """Return what CUDA_VISIBLE_DEVICES was before a run of this process narrowed it down."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def device_of(asked: str | None, *, sees_cuda: bool) -> str:
    """Return the device as torch names it inside the run's processes."""
    if asked == "cpu":
        return "cpu"
    if asked is not None and not sees_cuda:
        raise BenchFault(
            f"--device {asked} was asked for, and torch sees no CUDA device; "
            "run `refine_agent doctor`, or pass --device cpu"
        )
    return "cuda:0" if sees_cuda else "cpu"


def device_name(device: str) -> str:
    """Return the device's own name."""
    if device == "cpu":
        return cpu_name()
    return (_nvidia_smi("name") or "CUDA device").strip()


def device_identity(device: str) -> str:
    """Return what tells this very device from its twins in the same machine."""
    if device == "cpu":
        return "cpu"
    return (_nvidia_smi("uuid") or device_name(device)).strip()


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _nvidia_smi(field: str) -> str | None:
    index = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader", f"--id={index}"]
    return output_of(command)


def output_of(command: list[str], *, seconds: float = 20.0) -> str | None:
    """Return what a tool prints, or ``None`` if it is not there or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def environment_record(device: str, *, name: str, torch: str, fence: str | None) -> Environment:
    """Return where the numbers are taken, for the transcript's header."""
    cuda = device != "cpu"
    return Environment(
        device=name,
        device_kind="cuda" if cuda else "cpu",
        driver=_nvidia_smi("driver_version") if cuda else None,
        torch=torch,
        compiler=compiler_version(cuda=cuda),
        python=platform.python_version(),
        ncu=ncu_version() if cuda else None,
        cores=os.cpu_count(),
        fence=fence,
    )


def compiler_version(*, cuda: bool) -> str | None:
    """Return the compiler's own line about itself."""
    if not cuda:
        said = output_of([os.environ.get("CXX", "g++"), "--version"])
        return said.splitlines()[0] if said else None
    said = output_of(["nvcc", "--version"])
    found = re.search(r"release [\d.]+, V[\d.]+", said or "")
    return f"nvcc {found[0]}" if found else None


def ncu_version() -> str | None:
    """Return Nsight Compute's version, or ``None`` where it is not on the path."""
    said = output_of(["ncu", "--version"])
    found = re.search(r"Version ([\d.]+)", said or "")
    return found[1] if found else None


# --- what need not be found out twice -------------------------------------------------------------


def known(folder: Path, device: str, problem: Problem) -> Known:
    """Return what earlier runs found out about this device and this problem on it."""
    ceilings = _read(_ceilings_path(folder, device))
    of_problem = _read(_fitness_path(folder, device, problem)) or Known()
    return replace(of_problem, ceilings=ceilings.ceilings if ceilings is not None else None)


def remember(folder: Path, device: str, problem: Problem, settled: Settled) -> None:
    """Keep what was found out for the next run; where there is no room, that finds out anew."""
    _write(_ceilings_path(folder, device), Known(ceilings=settled.ceilings))
    of_problem = Known(fitness=settled.fitness, sensitivity=settled.sensitivity, work=settled.work)
    _write(_fitness_path(folder, device, problem), of_problem)


def _read(path: Path) -> Known | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Known)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, found: Known) -> None:
    if path.exists():
        return
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(found))
        partial.rename(path)
    except OSError:
        partial.unlink(missing_ok=True)


def _ceilings_path(folder: Path, device: str) -> Path:
    return folder / "known" / f"ceilings-{_slug(device)}.json"


def _fitness_path(folder: Path, device: str, problem: Problem) -> Path:
    return folder / "known" / f"fitness-{problem.digest}-{_slug(device)}.json"


def _slug(device: str) -> str:
    """Name a device together with everything that could change what was found out on it."""
    driver = _nvidia_smi("driver_version") or "cpu"
    parts = f"{device}-{driver}-{os.cpu_count()}-torch{metadata.version('torch')}-{_judge_digest()}"
    return re.sub(r"[^\w.]+", "-", parts)


@cache
def _judge_digest() -> str:
    """Return the digest of the judge's own sources: another judge finds out for itself."""
    folder = Path(__file__).parents[1] / "judge"
    return digest_of("".join(path.read_text() for path in sorted(folder.glob("*.py"))))


def ceilings_text(ceilings: Ceilings) -> tuple[str, ...]:
    """Say the ceilings in words, for a prompt."""
    lines = []
    if ceilings.dram_peak_gbps is not None:
        lines.append(f"DRAM bandwidth, datasheet: {ceilings.dram_peak_gbps:,.0f} GB/s")
    for name, value in (
        ("copy (bytes read + written)", ceilings.copy_gbps),
        ("read", ceilings.read_gbps),
        ("write", ceilings.write_gbps),
    ):
        if value is not None:
            lines.append(f"{name} bandwidth, measured: {value:,.0f} GB/s")
    for name, value, what in (
        ("fp32", ceilings.fp32_tflops, "datasheet peak"),
        ("fp32 matmul", ceilings.fp32_matmul_tflops, "measured"),
        ("TF32 matmul", ceilings.tf32_matmul_tflops, "measured"),
        ("bf16 matmul", ceilings.bf16_matmul_tflops, "measured"),
    ):
        if value is not None:
            lines.append(f"{name}, {what}: {value:,.2f} TFLOP/s")
    if ceilings.sms is not None:
        lines.append(f"{ceilings.sms} SMs, {ceilings.arch}")
    if ceilings.l2_bytes is not None:
        lines.append(f"L2 cache: {ceilings.l2_bytes / 2**20:.0f} MiB")
    if ceilings.threads is not None:
        lines.append(f"{ceilings.threads} threads")
    return tuple(lines)


# --- locks ----------------------------------------------------------------------------------------


@contextmanager
def device_lock(identity: str, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the device for as long as something on it is timed.

    Any two runs of this machine respect it, whoever started them; within one run it is not
    re-entrant. ``on_wait`` is called if somebody else holds it.
    """
    with _locked(identity, fcntl.LOCK_EX, on_wait), _cores(fcntl.LOCK_EX, on_wait):
        yield


@contextmanager
def build_lock() -> Iterator[None]:
    """Keep a build from disturbing a timing where cores are few; builds share the lock."""
    with _cores(fcntl.LOCK_SH):
        yield


def has_cores_to_spare() -> bool:
    """Whether there are so many that a compiler slows down nothing that is timed beside it."""
    return (os.cpu_count() or 1) > FEW_CORES


def _cores(how: int, on_wait: Callable[[], None] = lambda: None) -> AbstractContextManager[None]:
    """Hold the cores, where they are few."""
    return nullcontext() if has_cores_to_spare() else _locked("cores", how, on_wait)


@contextmanager
def _locked(name: str, how: int, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    handle = _lock_file(re.sub(r"[^\w.]+", "-", name))
    try:
        try:
            fcntl.flock(handle, how | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _lock_file(slug: str) -> int:
    """Open what is locked, for reading: that is enough to lock it, so that all users share it.

    Nothing is created where something lies: in /tmp the system refuses that for a file of somebody
    else's (fs.protected_regular). A link is not followed.
    """
    folder = LOCKS if os.access(LOCKS, os.W_OK) else Path(tempfile.gettempdir())
    path = folder / f"refine_agent-{slug}.lock"
    try:
        if not os.path.lexists(path):
            _put_lock(path)
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as why:
        raise BenchFault(
            f"the lock {path} cannot be opened ({why.strerror}); remove it, then resume"
        ) from why


def _put_lock(path: Path) -> None:
    """Put a lock there at once with its mode, whatever the umask is; another run may be faster."""
    handle, made = tempfile.mkstemp(prefix="refine_agent-", dir=path.parent)
    try:
        os.fchmod(handle, 0o444)
        with suppress(FileExistsError):
            os.link(made, path)
    finally:
        os.close(handle)
        Path(made).unlink()


def give_to_witnesses(folder: Path) -> None:
    """Let the witnesses' user write a folder; candidates have other users and cannot."""
    if os.geteuid() == 0:
        os.chown(folder, FIRST_UID, FIRST_UID)
