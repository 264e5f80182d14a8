"""What the bench and the judge say to each other.

It owns the few messages between those two trusted processes; every order about a worker brings
that worker's channel. The messages to a worker are in ``wire``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

# Message fields name classes that msgspec resolves at run time.
from refine_agent.judge.layers import ALL_LAYERS, Layers
from refine_agent.judge.seats import DEADLINES, Deadlines
from refine_agent.judge.settled import Known, Settled
from refine_agent.records import AnyVerdict, Baseline  # noqa: TC001
from refine_agent.wire import Channel, Traced, Wire


class Open(Wire, frozen=True, kw_only=True, tag="open"):
    """Take up a problem; or, once its witnesses are seated, time them."""

    source: str = ""
    device: str = "cpu"
    known: Known = Known()
    measure_baseline: bool = False


class Opened(Wire, frozen=True, kw_only=True, tag="opened"):
    """What was found out."""

    settled: Settled
    baseline: Baseline | None = None


class Seat(Wire, frozen=True, kw_only=True, tag="seat"):
    """Seat a witness: the reference under a role, on the worker that comes along."""

    ticket: int
    role: Literal["eager", "compiled", "autotuned", "null"]
    source: str
    pid: int


class Seated(Wire, frozen=True, kw_only=True, tag="seated"):
    """Done, nothing to report but the fence its process closed around itself."""

    ticket: int
    fence: str | None = None


class Capture(Wire, frozen=True, kw_only=True, tag="capture"):
    """Have a worker load a candidate on the CPU, so that what it builds is built."""

    ticket: int
    source: str
    deadlines: Deadlines = DEADLINES


class Prepare(Wire, frozen=True, kw_only=True, tag="prepare"):
    """Prepare a candidate's trial from now on: it is being built. Nothing is answered."""

    source: str
    sealed: bool = False  # the trial will be a sealing, which asks and compares more


class Rest(Wire, frozen=True, kw_only=True, tag="rest"):
    """Prepare no more: the build is over. Nothing is answered."""


class Cleared(Wire, frozen=True, kw_only=True, tag="cleared"):
    """How the capture went; no verdict means it loaded."""

    ticket: int
    verdict: AnyVerdict | None = None


class Try(Wire, frozen=True, kw_only=True, tag="try"):
    """Try a candidate; ``uid`` is a user that only its worker has, or ``None``."""

    ticket: int
    source: str
    pid: int
    uid: int | None = None
    sealed: bool = False
    layers: Layers = ALL_LAYERS
    deadlines: Deadlines = DEADLINES


class Verdict(Wire, frozen=True, kw_only=True, tag="verdict"):
    """The verdict."""

    ticket: int
    verdict: AnyVerdict


class Trace(Wire, frozen=True, kw_only=True, tag="trace-candidate"):
    """Have a worker run torch.profiler around a call of a candidate."""

    ticket: int
    source: str


class TracedOnce(Wire, frozen=True, kw_only=True, tag="traced-once"):
    """What torch.profiler saw, as the worker claims."""

    ticket: int
    seen: Traced


class CallOnce(Wire, frozen=True, kw_only=True, tag="call-once"):
    """Have a worker call once inside the range that Nsight Compute watches."""

    ticket: int
    source: str
    role: str


class Failed(Wire, frozen=True, kw_only=True, tag="failed"):
    """Something other than the candidate is at fault, or a worker ended where no verdict is due."""

    ticket: int
    kind: Literal["problem", "judge", "worker", "machine"]
    message: str


class JudgeChannel(Channel):
    """A channel that speaks of problems, candidates and verdicts."""

    decoder = msgspec.msgpack.Decoder(
        Open
        | Opened
        | Seat
        | Seated
        | Capture
        | Prepare
        | Rest
        | Cleared
        | Try
        | Verdict
        | Trace
        | TracedOnce
        | CallOnce
        | Failed
    )
