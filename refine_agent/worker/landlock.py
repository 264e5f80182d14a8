"""Landlock: confining a process to the files it needs, without privileges and for good.

It owns the kernel's interface (linux/landlock.h) and what of the system any confined process may
read; which folders of ours it gets besides is its caller's decision. Only the standard library is
imported, so that it also runs by itself, in front of a compiler.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on x86-64 and aarch64
_PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG, _SIGKILL = 38, 1, 9

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ALL_FS = (1 << 13) - 1  # ABI 1: every right up to MAKE_SYM
_REFER = 1 << 13  # ABI 2
_NET_TCP = 0b11  # bind and connect, ABI 4
_SCOPED = 0b11  # abstract Unix sockets and signals, ABI 6
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

READ_EXECUTE = _READ_FILE | _READ_DIR | _EXECUTE
# Files whose names one knows: what lies beside them cannot be listed.
OPEN_BY_NAME = _READ_FILE | _EXECUTE
WRITE_IN_PLACE = _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE
EVERYTHING = _ALL_FS | _REFER | _TRUNCATE

_LIBRARIES = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/opt", "/sys")
# Of /etc, what libraries look up; not the rest, and nothing of /run, where containers keep secrets.
_SETTINGS = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives",
    "/etc/localtime", "/etc/timezone", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
    "/etc/nvidia", "/etc/OpenCL", "/etc/vulkan", "/run/nvidia-*",
)  # fmt: skip
# Devices by name: to the owner of a disk's device file, all of /dev would be all of the disk.
_DEVICES = (
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty",
    "/dev/nvidia*", "/dev/dri", "/dev/dxg", "/dev/kfd",
)  # fmt: skip
# A compiler needs the loader's cache and what its own name links to; torch's build counts cores.
# No process's environment is among it: an ``.incbin`` of one would carry a key into an extension.
_COMPILER_SETTINGS = (
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys",
)  # fmt: skip
# Of one file. The largest that an honest build writes are precompiled headers of 70 MB.
MAX_COMPILED_BYTES = 512 << 20


def abi() -> int:
    """Return the kernel's Landlock version; 0 where it has none."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def for_candidates() -> dict[str, int]:
    """Return what of the system a candidate may use.

    /proc may be written to because the CUDA driver (570 and later) names its threads there and
    cuInit fails with 304 otherwise; other processes' files the kernel keeps from a confined one.
    No folder of /dev may be created in: a file in /dev/shm would outlive the process.
    """
    return _system(_SETTINGS) | {"/proc": WRITE_IN_PLACE}


def for_compilers() -> dict[str, int]:
    """Return what of the system a compiler may use."""
    return _system(_COMPILER_SETTINGS)


def _system(settings: tuple[str, ...]) -> dict[str, int]:
    grants = dict.fromkeys(_LIBRARIES, READ_EXECUTE)
    grants |= dict.fromkeys(_matching(settings), READ_EXECUTE)
    return grants | dict.fromkeys(_matching(_DEVICES), WRITE_IN_PLACE | _IOCTL_DEV)


def _matching(patterns: tuple[str, ...]) -> list[str]:
    return [str(path) for pattern in patterns for path in Path("/").glob(pattern[1:])]


def confine(grants: dict[str, int]) -> int:
    """Confine this process to ``grants``; return the ABI in force, 0 if the kernel would not."""
    version = abi()
    if version == 0:
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    every = _ALL_FS
    every |= _REFER if version >= 2 else 0  # noqa: PLR2004 - the ABI that brought it
    every |= _TRUNCATE if version >= 3 else 0  # noqa: PLR2004 - likewise
    every |= _IOCTL_DEV if version >= 5 else 0  # noqa: PLR2004 - likewise
    attr = _RulesetAttr(
        every,
        _NET_TCP if version >= 4 else 0,  # noqa: PLR2004 - likewise
        _SCOPED if version >= 6 else 0,  # noqa: PLR2004 - likewise
    )
    ruleset = libc.syscall(
        _CREATE_RULESET, ctypes.byref(attr), ctypes.c_size_t(ctypes.sizeof(attr)), 0
    )
    if ruleset < 0:
        return 0
    for path, access in grants.items():
        _grant(libc, ruleset, path, access & every)
    closed = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return version if closed else 0


class _RulesetAttr(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


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


def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def no_new_privileges() -> None:
    """Give up set-user-id programs and the like, which Landlock asks for."""
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _become_a_compiler() -> None:
    """Run as ``python -I -S landlock.py GRANTS COMMAND...``: close the fence, then run it."""
    given: dict[str, list[str]] = json.loads(sys.argv[1])
    die_with_parent()
    no_new_privileges()
    for what, bound in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, MAX_COMPILED_BYTES)):
        hard = resource.getrlimit(what)[1]
        most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (most, most))
    grants = for_compilers()
    grants |= dict.fromkeys(given["readable"], READ_EXECUTE)
    grants |= dict.fromkeys(given["by_name"], OPEN_BY_NAME)
    grants |= dict.fromkeys(given["writable"], EVERYTHING)
    confine(grants)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    _become_a_compiler()
