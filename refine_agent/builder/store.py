"""Owns the shared cache on disk: content-addressed folders, published whole or not at all.

What a folder holds is left to whoever fills it; here it has a name, a lock, an age and a size.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from refine_agent.builder.records import BuilderFault

_SEAL = "complete.json"
DEFAULT_LIMIT_BYTES = 4 * 2**30
_LOOK_AGAIN_S = 600
# What a candidate asks for is a few megabytes, or made to fill the disk, again and again.
_MUCH_BYTES = 16 * 2**20


class _Seal(msgspec.Struct, frozen=True):
    """Written last: the sizes an entry must still have to be believed."""

    sizes: dict[str, int]


class Store(msgspec.Struct, frozen=True):
    """A folder of entries by digest. Any number of processes may share it."""

    root: Path

    def entry(self, digest: str) -> Path:
        """Where the entry of that digest is or will be."""
        return self.root / "entries" / digest[:2] / digest

    def find(self, digest: str) -> Path | None:
        """The entry, if it is whole; the least recently found are the first to be evicted."""
        entry = self.entry(digest)
        try:
            seal = msgspec.json.decode((entry / _SEAL).read_bytes(), type=_Seal)
        except (OSError, msgspec.DecodeError):
            return None
        if any(_size(entry / name) != size for name, size in seal.sizes.items()):
            return None
        with contextlib.suppress(OSError):  # a read-only cache is still a cache
            os.utime(entry)
        return entry

    @contextlib.contextmanager
    def making(self, digest: str) -> Iterator[Path]:
        """A private folder to fill, with the digest's lock held until it is published or dropped.

        Another process that makes the same digest waits here, and then finds it.
        """
        with _faults_of(self.root), self._locked(digest):
            folder = self._private_folder(digest)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, digest: str, folder: Path) -> Path:
        """Move a filled folder into place in one step; the caller is inside `making`."""
        sizes = {
            str(path.relative_to(folder)): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        (folder / _SEAL).write_bytes(msgspec.json.encode(_Seal(sizes)))
        for path in folder.rglob("*"):
            if path.is_file():
                path.chmod(0o755 if path.suffix == ".so" else 0o444)
        folder.chmod(0o755)
        entry = self.entry(digest)
        entry.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(entry, ignore_errors=True)  # what is there is broken: find() refused it
        folder.rename(entry)
        if sum(sizes.values()) > _MUCH_BYTES:
            with contextlib.suppress(OSError):
                self.evict()
        return entry

    def keep_in_bounds(self) -> None:
        """Evict down to the default limit, at most every few minutes: it looks at every entry.

        What is large does not wait for that: it is followed by an eviction when it is published.
        """
        looked = self.root / "looked"
        with contextlib.suppress(OSError):
            if looked.exists() and time.time() - looked.stat().st_mtime < _LOOK_AGAIN_S:
                return
            looked.touch()
            self.evict()

    def evict(self, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> int:
        """Remove the least recently used entries until the rest fit; returns the bytes freed."""
        aged = sorted(self._entries(), key=lambda entry: entry.stat().st_mtime, reverse=True)
        kept = freed = 0
        for entry in aged:
            size = _size_of_tree(entry)
            kept += size
            if kept > limit_bytes:
                shutil.rmtree(entry, ignore_errors=True)
                freed += size
        return freed

    def clear(self) -> int:
        """Remove every entry; returns the bytes freed."""
        return self.evict(limit_bytes=-1)

    def size_bytes(self) -> int:
        """What the entries occupy."""
        return sum(_size_of_tree(entry) for entry in self._entries())

    def _entries(self) -> list[Path]:
        return [path for path in (self.root / "entries").glob("*/*") if path.is_dir()]

    @contextlib.contextmanager
    def _locked(self, digest: str) -> Iterator[None]:
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / digest).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _private_folder(self, digest: str) -> Path:
        making = self.root / "making"
        making.mkdir(parents=True, exist_ok=True)
        for abandoned in making.glob(f"{digest}.*"):  # we hold the lock: its maker was killed
            shutil.rmtree(abandoned, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{digest}.", dir=making))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _size_of_tree(folder: Path) -> int:
    return sum(_size(path) or 0 for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def _faults_of(root: Path) -> Iterator[None]:
    """Say in one sentence why the cache cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(root) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise BuilderFault(
                f"the build cache {root} cannot be written ({error.strerror}); make it writable "
                "or choose another with REFINE_AGENT_CACHE"
            ) from error
        raise


def disk_full(root: Path) -> BuilderFault:
    """The fault of a disk without room, the same whoever notices it."""
    return BuilderFault(
        f"the disk under the build cache {root} is full; free some space, or clear the cache"
    )
