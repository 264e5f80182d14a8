"""The fence a candidate's process puts around itself before it reads the first line of the source.

It owns limits, user id, Landlock and the environment, and says which level was reached; it leaves
deadlines and killing to the bench. Landlock's constants are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import resource
import site
import sys
import sysconfig
from pathlib import Path

import msgspec

# Candidates get user ids nobody else has: signals, ptrace and process limits go by user id.
FIRST_UID = 64_000

_PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 4, 8, 38, 1
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on x86-64 and aarch64
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAP_DAC_READ_SEARCH = 2
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ALL_FS = (1 << 13) - 1  # ABI 1: every right up to MAKE_SYM
_REFER = 1 << 13  # ABI 2
_NET_TCP = 0b11  # bind and connect, ABI 4
_SCOPED = 0b11  # abstract Unix sockets and signals, ABI 6
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_READ = _READ_FILE | _READ_DIR
_READ_EXECUTE = _READ | _EXECUTE

# Bounds that an honest candidate never meets.
MAX_PROCESSES = 1024
MAX_FILE_BYTES = 256 << 20
MAX_OPEN_FILES = 4096


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one process may have."""

    folder: str  # private, writable: work, HOME, TMPDIR and every cache
    readable: tuple[str, ...] = ()  # the shared artifact cache
    writable: tuple[str, ...] = ()  # a witness's own compiler cache; never a candidate's
    uid: int | None = None  # the user to become; None: stay
    landlock: bool = True
    # None: keep it as started (a profiler put its own variables there, on top of a scrubbed one).
    environment: dict[str, str] | None = None
    # Start the profiler's machinery ahead (seconds on a GPU), before any candidate is read.
    warm_profiler_on: str | None = None


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What was reached, as every verdict reports it."""

    uid: bool
    landlock_abi: int

    def __str__(self) -> str:
        user = "own user id" if self.uid else "the caller's user id"
        if self.landlock_abi <= 0:
            return f"limits only ({user}, no Landlock)"
        net = ", no TCP" if self.landlock_abi >= 4 else ""  # noqa: PLR2004 - the ABI that brought it
        signals = ", no signals out" if self.landlock_abi >= 6 else ""  # noqa: PLR2004 - likewise
        return f"Landlock ABI {self.landlock_abi} ({user}{net}{signals})"


def enter(rules: Rules) -> Level:
    """Close the fence around this process, for good. Nothing untrusted may have run before."""
    os.chdir(rules.folder)
    os.umask(0o077)
    _limit()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    became = _become(libc, rules.uid, keep_reading=rules.landlock) if rules.uid else False
    if not became and os.geteuid() == 0:
        _keep_only(libc, None)  # root without capabilities: no mounts, no clocks, no one's files
    _replace_environment(rules)
    abi = _landlock(libc, rules) if rules.landlock else 0
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


def _become(libc: ctypes.CDLL, uid: int, *, keep_reading: bool) -> bool:
    """Become an unprivileged user; return whether that was possible."""
    if os.geteuid() != 0:
        return False
    # An interpreter below a folder closed to others (root's home, say) stays readable by keeping
    # that one capability; Landlock, which comes next, confines what may be read with it.
    keep = keep_reading and not _readable_by_others() and landlock_abi() > 0
    if not keep and not _readable_by_others():
        return False
    resource.setrlimit(resource.RLIMIT_NPROC, (MAX_PROCESSES, MAX_PROCESSES))
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


def _keep_only(libc: ctypes.CDLL, capability: int | None) -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    bit = 1 << capability if capability is not None else 0
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    libc.syscall(_CAPSET[os.uname().machine], header, sets)
    if capability is None:
        return
    # Ambient, so that a compiler the process starts (Triton's, Inductor's) reads Python's headers.
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _readable_by_others() -> bool:
    """Whether a stranger can reach the interpreter and the packages it runs from."""
    return all(_open_to_others(Path(path)) for path in interpreter_folders())


def _open_to_others(path: Path) -> bool:
    return all(
        folder.stat().st_mode & 0o005 == 0o005
        for folder in (path, *path.parents)
        if folder.exists()
    )


def interpreter_folders() -> tuple[str, ...]:
    """Return the folders Python and its packages are read from, symbolic links resolved."""
    found = [sys.prefix, sys.base_prefix, sysconfig.get_paths()["purelib"], *site.getsitepackages()]
    found += [entry for entry in sys.path if entry and Path(entry).is_dir()]
    found.append(str(Path(sys.executable).resolve().parent))
    found.append(str(Path(__file__).resolve().parents[1]))
    return tuple(sorted({str(Path(path).resolve()) for path in found if Path(path).exists()}))


# --- Landlock ------------------------------------------------------------------------------------


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def landlock_abi() -> int:
    """Return the kernel's Landlock version; 0 where it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def _landlock(libc: ctypes.CDLL, rules: Rules) -> int:
    """Confine this process; return the ABI in force, 0 if the kernel would not."""
    abi = landlock_abi()
    if abi == 0:
        return 0
    every = _ALL_FS
    every |= _REFER if abi >= 2 else 0  # noqa: PLR2004 - the ABI that brought it
    every |= _TRUNCATE if abi >= 3 else 0  # noqa: PLR2004 - likewise
    every |= _IOCTL_DEV if abi >= 5 else 0  # noqa: PLR2004 - likewise
    attr = _RulesetAttr(
        every,
        _NET_TCP if abi >= 4 else 0,  # noqa: PLR2004 - likewise
        _SCOPED if abi >= 6 else 0,  # noqa: PLR2004 - likewise
    )
    ruleset = libc.syscall(
        _CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(ctypes.sizeof(attr)), 0
    )
    if ruleset < 0:
        return 0
    for path, access in _grants(rules).items():
        _grant(libc, ruleset, path, access & every)
    closed = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return abi if closed else 0


def _grants(rules: Rules) -> dict[str, int]:
    """Say which folder opens how far.

    /proc takes WRITE_FILE and TRUNCATE because the CUDA driver (570 and later) names its threads
    there and cuInit fails with 304 otherwise; what is not ours there the kernel protects by user.
    /dev takes no right to create: a file in /dev/shm would outlive the process.
    """
    system = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc", "/opt", "/sys", "/run")
    grants = dict.fromkeys((*system, *interpreter_folders(), *rules.readable), _READ_EXECUTE)
    grants["/proc"] = _READ | _WRITE_FILE | _TRUNCATE
    grants["/dev"] = _READ | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
    for folder in (rules.folder, *rules.writable):
        grants[folder] = _ALL_FS | _REFER | _TRUNCATE
    return grants


def _grant(libc: ctypes.CDLL, ruleset: int, path: str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no rule
    if not Path(path).is_dir():
        access &= _FILE_ONLY
    rule = _PathBeneath(access, handle)
    libc.syscall(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
    os.close(handle)
