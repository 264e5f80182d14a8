"""Watching what a candidate takes of the machine: memory and room on the disk.

It owns the bounds that the kernel does not enforce by itself (address space is no measure where
CUDA reserves terabytes of it, and a limit per file is none on their number) and ends who exceeds
them; what the ending means is ``endings``'s.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import stat
import threading
from typing import TYPE_CHECKING

import msgspec

from refine_agent.worker.census import children, descendants, user_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence
    from pathlib import Path

LOOK_EVERY_S = 0.25
# Leaves room for the judge, the bench and whatever else the machine does.
MEMORY_PART, DISK_PART = 0.6, 0.5
MOST_DISK_BYTES = 8 << 30
# Inductor makes a few hundred; a folder with more than this takes too long to count.
MOST_FILES = 20_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one candidate may take."""

    memory_bytes: int
    disk_bytes: int


def bounds_of(folder: Path) -> Bounds:
    """Return bounds that fit this machine as it is now."""
    free = shutil.disk_usage(folder).free
    return Bounds(
        memory_bytes=int(MEMORY_PART * _available_bytes()),
        disk_bytes=int(min(MOST_DISK_BYTES, DISK_PART * free)),
    )


def _available_bytes() -> int:
    """What could be had: on a machine that has read many files hardly anything is free."""
    with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123 - /proc, not a path
        told = dict(line.split(":", 1) for line in file)
    return int(told["MemAvailable"].split()[0]) << 10


class Warden(threading.Thread):
    """Watches one process and its children until it is told to stop; kills what takes too much."""

    def __init__(  # noqa: PLR0913 - each is one thing that it watches, or who adopts orphans
        self,
        pid: int,
        folder: Path,
        output: Path,
        bounds: Bounds,
        *,
        own_uid: int | None,
        adopter: int,
        lender: int | None = None,
    ) -> None:
        super().__init__(daemon=True, name=f"warden of {pid}")
        self.excess: str | None = None  # what it was killed for
        self._pid = pid
        self._own_uid, self._adopter, self._lender = own_uid, adopter, lender
        self._folder = folder
        self._output = output
        self._bounds = bounds
        self._disk = output.stat().st_dev
        self._over = threading.Event()

    def run(self) -> None:
        """Look until the worker is over."""
        while not self._over.wait(LOOK_EVERY_S):
            self.excess = self._excess()
            if self.excess is not None:
                self._kill()
                return

    def stop(self) -> None:
        """Look no more; the number may soon name another process."""
        self._over.set()

    def _excess(self) -> str | None:
        processes = self._processes()
        used = self._memory_bytes(processes)
        if used > self._bounds.memory_bytes:
            return f"was ended: it used {used / 1e9:.1f} GB of memory"
        sizes = list(itertools.islice(_sizes(self._folder), MOST_FILES + 1))
        if len(sizes) > MOST_FILES:
            return f"was ended: it made more than {MOST_FILES:,} files"
        written = _size(self._output) + sum(sizes) + sum(_hidden(processes, self._disk))
        if written > self._bounds.disk_bytes:
            return f"was ended: it wrote {written / 1e9:.1f} GB to the disk"
        return None

    def _memory_bytes(self, processes: list[int]) -> int:
        """Memory of their own, and what they share or wrote to files that lie nowhere.

        Of the last two, which may be the same pages, the larger; less what the judge lends them.
        """
        lent = _shared_bytes(self._lender) if self._lender is not None else 0
        shared = sum(max(0, _shared_bytes(pid) - lent) for pid in processes)
        files = sum(_hidden(processes, _MEMORY, but=_open_files(self._lender)))
        return sum(map(_resident_bytes, processes)) + max(shared, files)

    def _kill(self) -> None:
        if self._over.is_set():
            return
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def _processes(self) -> list[int]:
        """It, what it started, and, where it has a user of its own, what that left to others."""
        found = {self._pid, *descendants(self._pid)}
        if self._own_uid is not None:
            orphans = {pid for pid in children(self._adopter) if user_of(pid) == self._own_uid}
            found |= orphans.union(*map(descendants, orphans))
        return list(found)


def _resident_bytes(pid: int) -> int:
    """Memory of its own: shared pages are a library's, the arena's or counted apart."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - /proc, not a path
            _, resident, shared, *_ = map(int, file.read().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE


def _shared_bytes(pid: int) -> int:
    """Memory that it has mapped and others may as well; none, where the kernel does not say."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - /proc
            told = next(line for line in file if line.startswith("RssShmem:"))
    except (OSError, StopIteration):
        return 0
    return int(told.split()[1]) << 10


def _sizes(folder: Path) -> Iterator[int]:
    """The sizes of what is in a folder and below it, folders themselves included."""
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                yield entry.stat(follow_symlinks=False).st_size


def _hidden(processes: Sequence[int], disk: int, *, but: Container[int] = ()) -> Iterator[int]:
    """Files on a disk that are open and in no folder any more, but for some."""
    seen: set[int] = set()  # a fork holds its parent's files too
    for file in itertools.chain.from_iterable(map(_files, processes)):
        if file.st_dev != disk or file.st_nlink or file.st_ino in seen or file.st_ino in but:
            continue
        if stat.S_ISREG(file.st_mode):
            seen.add(file.st_ino)
            yield file.st_blocks * 512


def _open_files(pid: int | None) -> set[int]:
    """The numbers of files in memory that a process has open: the arenas, if it is the judge."""
    files = _files(pid) if pid is not None else ()
    return {file.st_ino for file in files if file.st_dev == _MEMORY}


def _files(pid: int) -> Iterator[os.stat_result]:
    try:
        handles = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return
    for handle in handles:
        with contextlib.suppress(OSError):
            yield handle.stat()


def _disk_of_memory() -> int:
    """The number of the disk that anonymous files lie on, which is memory."""
    try:
        handle = os.memfd_create("probe", os.MFD_CLOEXEC)
    except OSError:
        return -1
    try:
        return os.fstat(handle).st_dev
    finally:
        os.close(handle)


_MEMORY = _disk_of_memory()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
