"""What the bench and the nursery say to each other.

It owns the few messages about births and endings; the messages to a worker itself are in ``wire``.
"""

from __future__ import annotations

import msgspec

from refine_agent.wire import Channel, Wire
from refine_agent.worker.fence import Rules  # noqa: TC001 - msgspec resolves it at run time


class Spawn(Wire, frozen=True, kw_only=True, tag="spawn"):
    """Fork a worker; orders, builds and output descriptors come along."""

    rules: Rules


class End(Wire, frozen=True, kw_only=True, tag="end"):
    """Kill a worker and all it started."""

    pid: int
    uid: int | None = None


class Born(Wire, frozen=True, kw_only=True, tag="born"):
    """A worker lives (or, first of all, the nursery itself)."""

    pid: int
    level: str


class Ended(Wire, frozen=True, kw_only=True, tag="ended"):
    """Nothing of that worker lives any more."""

    pid: int


class Exited(Wire, frozen=True, kw_only=True, tag="exited"):
    """A worker ended; ``status`` is what ``waitpid`` said."""

    pid: int
    status: int


class NurseryChannel(Channel):
    """A channel that speaks of births and endings."""

    decoder = msgspec.msgpack.Decoder(Spawn | End | Born | Ended | Exited)

    @property
    def buffered(self) -> bool:
        """Whether a message, or part of one, has been read already."""
        return bool(self._buffer)

    def forget(self) -> None:
        """Close this process's copy, without a word."""
        self._sock.close()
