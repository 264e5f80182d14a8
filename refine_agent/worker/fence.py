"""The fence a candidate's process puts around itself before it reads the first line of the source.

It owns limits, user id, Landlock and the environment, and says which level was reached; it leaves
deadlines and killing to the bench, and the kernel's interface to ``landlock``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import site
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from refine_agent.worker import landlock

if TYPE_CHECKING:
    from collections.abc import Sequence

# Candidates get user ids nobody else has: signals, ptrace and process limits go by user id.
FIRST_UID = 64_000
# The Landlock that brought the last of what the full fence stops: signals to the outside.
FULL_LANDLOCK = 6
_READ_AND_ENTER = 0o005  # the bits of a folder's mode that open it to everybody

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS = 4, 8
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAP_DAC_READ_SEARCH = 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CLONE_NEWIPC = 0x08000000

# Bounds that an honest candidate never meets.
MAX_PROCESSES = 1024
MAX_FILE_BYTES = 256 << 20
MAX_OPEN_FILES = 4096


class Warm(msgspec.Struct, frozen=True):
    """Machinery to start ahead, before any candidate is read: it takes seconds the first time."""

    of: Literal["profiler", "compiler"]
    device: str


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one process may have."""

    folder: str  # private, writable: work, HOME, TMPDIR and every cache
    # The shared artifact cache: files in it can be opened by name, and not listed, so that nobody
    # finds other candidates' sources.
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()  # a witness's own compiler cache; never a candidate's
    uid: int | None = None  # the user to become; None: stay
    landlock: bool = True
    # None: keep it as started (a profiler put its own variables there, on top of a scrubbed one).
    environment: dict[str, str] | None = None
    warm: Warm | None = None


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What was reached, as every verdict reports it."""

    uid: bool
    landlock_abi: int

    def __str__(self) -> str:
        user = "own user id" if self.uid else "the caller's user id"
        if self.landlock_abi <= 0:
            return f"limits only ({user}, no Landlock)"
        net = ", no TCP" if self.landlock_abi >= 4 else ""  # noqa: PLR2004 - the ABI that brought it
        signals = ", no signals out" if self.landlock_abi >= FULL_LANDLOCK else ""
        return f"Landlock ABI {self.landlock_abi} ({user}{net}{signals})"


def is_full(level: str | None) -> bool:
    """Whether a level, as verdicts name it, is the full fence."""
    found = re.match(r"Landlock ABI (\d+)\b", level or "")
    return found is not None and int(found[1]) >= FULL_LANDLOCK


def enter(rules: Rules) -> Level:
    """Close the fence around this process, for good. Nothing untrusted may have run before."""
    os.chdir(rules.folder)
    os.umask(0o077)
    _limit()
    _limit_processes()
    libc = ctypes.CDLL(None, use_errno=True)
    landlock.no_new_privileges()
    if rules.environment is not None:  # a profiler shares memory with what it started
        # Where it may: segments of System V would outlast the candidate, open to the next one.
        libc.unshare(_CLONE_NEWIPC)
    became = _become(libc, rules) if rules.uid else False
    if not became and os.geteuid() == 0:
        _keep_only(libc, None)  # root without capabilities: no mounts, no clocks, no one's files
    _replace_environment(rules)
    landlock.die_with_parent()  # after the user id, whose change would clear it
    abi = _confined(rules) if rules.landlock else 0
    return Level(uid=became, landlock_abi=abi)


def _replace_environment(rules: Rules) -> None:
    if rules.environment is not None:
        os.environ.clear()
        os.environ.update(rules.environment)
    # The nursery asks NVML for devices, because asking CUDA would spoil the fork; workers may.
    os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    # The worker's user id has no name in the password file, and libraries ask for one.
    os.environ["USER"] = os.environ["LOGNAME"] = "candidate"
    for name in ("HOME", "TMPDIR", "TORCH_EXTENSIONS_DIR", "CUDA_CACHE_PATH", "TRITON_CACHE_DIR"):
        os.environ[name] = rules.folder
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{rules.folder}/inductor")
    # Inductor keeps a process per core to compile in, and they start up while calls are timed: a
    # candidate that is stopped between its calls is stopped with all of them.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


def _limit() -> None:
    """Bound what can be bounded. Not the address space: CUDA reserves far more than it uses."""
    for what, bound in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
    ):
        hard = resource.getrlimit(what)[1]
        limit = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (limit, limit))
    # Where memory runs out, this process goes first, not the judge.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _limit_processes() -> None:
    """Stop fork bombs; the kernel counts every thread of the user's, so what runs already is added.

    A user id of its own starts from nothing, and root is never limited.
    """
    running = 0 if os.geteuid() == 0 else _threads_of(os.getuid())
    bound = running + MAX_PROCESSES
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    limit = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))


def _threads_of(uid: int) -> int:
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == uid:
                count += sum(1 for _ in (folder / "task").iterdir())
        except OSError:
            continue
    return count


def _become(libc: ctypes.CDLL, rules: Rules) -> bool:
    """Become an unprivileged user; return whether that was possible."""
    uid = rules.uid
    if uid is None or not may_become(rules.readable, landlock=rules.landlock):
        return False
    # An interpreter or a cache below a folder closed to others (root's home, say) stays readable by
    # keeping that one capability; Landlock, which comes next, confines what may be read with it.
    keep = not _readable_by_others(rules.readable)
    libc.prctl(_PR_SET_KEEPCAPS, int(keep), 0, 0, 0)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if keep:
        _keep_only(libc, _CAP_DAC_READ_SEARCH)
    # A process that changed its user id may not open its own /proc files until it is dumpable
    # again, and the CUDA driver names its threads there.
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    return True


def may_become(readable: Sequence[str], *, landlock: bool = True) -> bool:
    """Whether a worker that has to read these can be another user here."""
    if os.geteuid() != 0:
        return False
    return _readable_by_others(readable) or (landlock and landlock_abi() > 0)


def _keep_only(libc: ctypes.CDLL, capability: int | None) -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    bit = 1 << capability if capability is not None else 0
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    libc.syscall(_CAPSET[os.uname().machine], header, sets)
    if capability is None:
        return
    # Ambient, so that a compiler the process starts (Triton's, Inductor's) reads Python's headers.
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _readable_by_others(besides: Sequence[str] = ()) -> bool:
    """Whether a stranger can reach the interpreter, the packages it runs from, and these."""
    return all(_open_to_others(Path(path)) for path in (*interpreter_folders(), *besides))


def _open_to_others(path: Path) -> bool:
    return all(
        folder.stat().st_mode & _READ_AND_ENTER == _READ_AND_ENTER
        for folder in (path, *path.parents)
        if folder.exists()
    )


def interpreter_folders() -> tuple[str, ...]:
    """Return the folders Python and its packages are read from, symbolic links resolved."""
    found = [sys.prefix, sys.base_prefix, sysconfig.get_paths()["purelib"], *site.getsitepackages()]
    found += [entry for entry in sys.path if entry and _holds_packages(Path(entry))]
    found.append(str(Path(sys.executable).resolve().parent))
    found.append(str(Path(__file__).resolve().parents[1]))
    return tuple(sorted({str(Path(path).resolve()) for path in found if Path(path).exists()}))


def _holds_packages(entry: Path) -> bool:
    """Whether libraries are imported from there: not so a checkout, or where somebody works."""
    return any((entry / name).is_dir() for name in ("torch", "numpy", "msgspec", "triton"))


# --- Landlock ------------------------------------------------------------------------------------


def landlock_abi() -> int:
    """Return the kernel's Landlock version; 0 where it has none."""
    return landlock.abi()


def _confined(rules: Rules) -> int:
    """Confine this process; return the ABI in force, 0 if the kernel would not."""
    grants = landlock.for_candidates()
    grants |= dict.fromkeys(interpreter_folders(), landlock.READ_EXECUTE)
    grants |= dict.fromkeys(rules.readable, landlock.OPEN_BY_NAME)
    grants |= dict.fromkeys((rules.folder, *rules.writable), landlock.EVERYTHING)
    return landlock.confine(grants)
