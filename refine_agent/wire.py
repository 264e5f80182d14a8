"""What the bench, the judge and a worker say to each other, and how the bytes travel.

It owns the messages and their framing over a Unix socket; it leaves to each side what it believes.
Nothing here is ever unpickled: a message is a fixed schema in MessagePack, of bounded length.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a worker may say that a call takes: none takes an hour.
MOST_US = 3.6e9
# A worker's longest honest message is a traceback or a table of operators.
MAX_MESSAGE_BYTES = 8 << 20
_HEADER = struct.Struct("!I")
_MAX_FDS = 4
# Why a channel is ``Broken`` where the other side is not there any more; the system may say more.
_CLOSED, _BROKE = "the channel is closed", "the channel broke"
_LEFT = "the other side closed the channel"
NOBODY_THERE = (_CLOSED, _BROKE, _LEFT)


class Wire(msgspec.Struct, frozen=True, kw_only=True, tag_field="m"):
    """A message."""


class TensorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A dense, row-major tensor in the arena: where, how long, of what."""

    offset: int  # bytes from the start of the slot
    shape: tuple[int, ...]
    dtype: str  # "float32", as in torch.float32

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"

    def fills(self, other: TensorSpec) -> bool:
        """Whether this tensor could stand for the other, wherever they lie."""
        return self.shape == other.shape and self.dtype == other.dtype


def described(tree: Any, leaves: Sequence[object]) -> str:  # noqa: ANN401 - trees are of any kind
    """Return a tree of results as one would write it, tensors by type and shape."""
    if isinstance(tree, dict) and tree.keys() == {"t"}:
        return str(leaves[tree["t"]])
    if isinstance(tree, dict) and isinstance(tree.get("dict"), dict):
        inside = (f"{key!r}: {described(part, leaves)}" for key, part in tree["dict"].items())
        return f"{{{', '.join(inside)}}}"
    if isinstance(tree, list):
        return f"[{', '.join(described(part, leaves) for part in tree)}]"
    return str(tree)


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """How one call's arguments and results lie in a slot.

    ``arguments`` is the tree of positional arguments with ``{"t": i}`` where tensor ``i`` of
    ``inputs`` belongs; everything else is itself. ``results`` is the reference's tree likewise.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    arguments: Any
    results: Any
    slot_bytes: int


# --- to a worker ---------------------------------------------------------------------------------


class Map(Wire, frozen=True, kw_only=True, tag="map"):
    """Map the arena whose handle comes along with this message."""

    device: str  # "cpu" or "cuda:0"
    total_bytes: int
    slots: int
    layout: Layout
    lax: bool = False  # copy results of other shapes and dtypes too, as laxer harnesses do
    dense: bool = True  # bring results into dense order within the time of the call


class Load(Wire, frozen=True, kw_only=True, tag="load"):
    """Run the source and construct its module.

    ``state`` is a file descriptor that comes along: construction arguments and parameters by
    value, as ``torch.save`` wrote them.
    """

    source: str
    role: Literal["candidate", "eager", "compiled", "autotuned", "null"]
    device: str
    seed: int
    precision: str = "ieee"  # float32 matrix products: "ieee" or "tf32"


class Call(Wire, frozen=True, kw_only=True, tag="call"):
    """Call the module on these slots, one after the other, and keep the results.

    Nothing in it tells a call that is checked from one that is timed. ``copied`` copies every
    result within the time of its call, for a module that overwrites it in the next.
    """

    slots: tuple[int, ...]
    nvtx: str | None = None
    copied: bool = False


class Deliver(Wire, frozen=True, kw_only=True, tag="deliver"):
    """Put the results that the last calls left into these slots, in the order of the calls.

    The inputs are gone by then: what was not computed when the calls were said to be over never is.
    """

    slots: tuple[int, ...]


class Trace(Wire, frozen=True, kw_only=True, tag="trace"):
    """Call the module on one slot under torch.profiler and report what ran."""

    slot: int
    calls: int = 3


class Bye(Wire, frozen=True, kw_only=True, tag="bye"):
    """End."""


# --- from a worker: claims, never verdicts --------------------------------------------------------


class Ready(Wire, frozen=True, kw_only=True, tag="ready"):
    """The last request was carried out."""

    note: str | None = None


class Loaded(Wire, frozen=True, kw_only=True, tag="loaded"):
    """The module stands; ``state`` says how its parameters were set."""

    state: Literal["none", "by name", "by order", "seeded"]
    detail: str | None = None


NOT_LENT = -1  # a result that is its own


class Done(Wire, frozen=True, kw_only=True, tag="done"):
    """The calls are over. ``shapes`` are the results' specs; times are the worker's own claim.

    ``lent`` says, call by call, which results are an input as it lies in the arena: its number, or
    ``NOT_LENT``. Nothing need be delivered of those, the judge takes them from there. ``places``
    says where in a CPU's memory the bytes of the others lie; it is 0 for what is lent.
    """

    shapes: tuple[str, ...]
    fits: bool  # every result has the layout's shape and dtype, so its bytes can be delivered
    lent: tuple[tuple[int, ...], ...] = ()
    places: tuple[tuple[int, ...], ...] = ()
    device_us: tuple[float, ...] = ()
    hidden: tuple[bool, ...] = ()  # per call: the device had not begun it when all was launched


class Delivered(Wire, frozen=True, kw_only=True, tag="delivered"):
    """The results of the last calls lie in their slots."""


class Traced(Wire, frozen=True, kw_only=True, tag="traced"):
    """Rows of the profiler, as JSON, and what the calls took of processor and wall time."""

    rows: bytes
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


class Raised(Wire, frozen=True, kw_only=True, tag="raised"):
    """The candidate's code raised."""

    error: str  # "RuntimeError: …", one line
    trace: str


class BuildAsked(Wire, frozen=True, kw_only=True, tag="build"):
    """The candidate called ``load_inline``: what it asked for, as JSON of a ``BuildRequest``."""

    request: bytes


class BuildAnswered(Wire, frozen=True, kw_only=True, tag="built"):
    """What the builder made of it: JSON of an ``Artifact`` or a ``Rejected``."""

    ok: bool
    answer: bytes


AnyWire = (
    Map
    | Load
    | Call
    | Deliver
    | Trace
    | Bye
    | Ready
    | Loaded
    | Done
    | Delivered
    | Traced
    | Raised
    | BuildAsked
    | BuildAnswered
)

_decoder = msgspec.msgpack.Decoder(AnyWire)


class Broken(Exception):  # noqa: N818 - said of a channel
    """The other side closed the channel or does not keep to the protocol."""


class Late(Exception):  # noqa: N818 - said of an answer
    """The other side did not answer in time."""


class Channel:
    """One end of a socket that carries messages and, where needed, file descriptors."""

    decoder: msgspec.msgpack.Decoder[Any] = _decoder

    # Descriptors are for those to take who trust the other side: a candidate could send thousands.
    def __init__(self, sock: socket.socket, *, takes_fds: bool = False) -> None:
        self._sock = sock
        self._takes_fds = takes_fds
        self._sock.setblocking(True)  # noqa: FBT003 - the standard library's signature
        self._pending: list[int] = []
        self._buffer = bytearray()

    @classmethod
    def pair(cls) -> tuple[socket.socket, socket.socket]:
        """Return two connected sockets; each side wraps its own."""
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

    def fileno(self) -> int:
        """Return the descriptor, for ``select``."""
        return self._sock.fileno()

    def send(self, message: Wire, *, fds: tuple[int, ...] = ()) -> None:
        """Send one message; raise ``Broken`` when nobody is there to hear it."""
        body = msgspec.msgpack.encode(message)
        try:
            if fds:
                socket.send_fds(self._sock, [_HEADER.pack(len(body))], fds)
                self._sock.sendall(body)
            else:
                self._sock.sendall(_HEADER.pack(len(body)) + body)
        except OSError as why:
            raise Broken(f"{_CLOSED} ({why.strerror})") from None

    def receive(self, *, deadline_s: float | None = None) -> Any:  # noqa: ANN401 - an AnyWire
        """Return the next message; raise ``Late``, ``Broken``, never hang past the deadline."""
        ends = None if deadline_s is None else time.monotonic() + deadline_s
        (length,) = _HEADER.unpack(self._exactly(_HEADER.size, ends))
        if length > MAX_MESSAGE_BYTES:
            raise Broken(f"a message of {length} bytes is longer than any honest one")
        try:
            return self.decoder.decode(self._exactly(length, ends))
        # RecursionError: nested thousands deep, also where nobody would have looked.
        except (msgspec.DecodeError, ValueError, RecursionError) as why:
            raise Broken(f"a message does not keep to the protocol ({why})") from None

    def _exactly(self, count: int, ends: float | None) -> bytes:
        while len(self._buffer) < count:
            if ends is not None and not self._readable(ends - time.monotonic()):
                raise Late
            try:
                piece, fds, _, _ = socket.recv_fds(self._sock, 1 << 20, _MAX_FDS)
            except OSError as why:
                raise Broken(f"{_BROKE} ({why.strerror})") from None
            self._keep(fds)
            if not piece:
                raise Broken(_LEFT)
            self._buffer += piece
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _keep(self, fds: list[int]) -> None:
        """Keep what came along, where anything may: a worker's descriptors are closed unseen."""
        if self._takes_fds:
            self._pending += fds
            return
        for fd in fds:
            os.close(fd)

    def _readable(self, seconds: float) -> bool:
        # Not select: it cannot watch descriptors above 1023.
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1e3))

    def take_fd(self) -> int:
        """Return the oldest descriptor that came along; raise ``Broken`` if there is none."""
        if not self._pending:
            raise Broken("a descriptor was announced and did not come")
        return self._pending.pop(0)

    def close(self) -> None:
        """Close the socket and every descriptor nobody took."""
        for fd in self._pending:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._sock.close()
