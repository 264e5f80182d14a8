"""The judge's process: hears the bench, tries candidates, answers with verdicts.

It owns the order in which requests are served (one at a time where a device is involved); what a
trial consists of is ``trial``'s business. Standard output and error belong to the bench's log.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from refine_agent import wire
from refine_agent.arena import ArenaFault
from refine_agent.judge.orders import (
    CallOnce,
    Capture,
    Cleared,
    Failed,
    JudgeChannel,
    Open,
    Opened,
    Prepare,
    Rest,
    Seat,
    Seated,
    Trace,
    TracedOnce,
    Try,
    Verdict,
)

if TYPE_CHECKING:
    from refine_agent.judge.trial import House

PRIORITY = -10
PARENT_LOOKED_FOR_EVERY_S = 2.0


def main() -> None:
    """Serve the bench on the socket whose number is the only argument."""
    channel = JudgeChannel(socket.socket(fileno=int(sys.argv[1])), takes_fds=True)
    # Where it may, the judge hears answers before anything else runs: it is the clock.
    with contextlib.suppress(OSError):
        os.nice(PRIORITY)
    # Before torch is imported: threads that wait for one another sleep. Spinning, as libgomp does
    # by default, takes ten milliseconds per parallel region wherever another process is at work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _Bench(channel).serve()


def _end_with(parent: int) -> None:
    """End when the bench is gone: in the middle of a trial the channel would not tell."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOKED_FOR_EVERY_S)
    os._exit(1)


class _Bench:
    """The bench as the judge sees it: requests in, answers out."""

    def __init__(self, channel: JudgeChannel) -> None:
        self._channel = channel
        self._speaking = threading.Lock()
        self._house: House | None = None

    def serve(self) -> None:
        while True:
            try:
                order = self._channel.receive()
            except wire.Broken:
                return
            if isinstance(order, Prepare | Rest):
                self._prepare(order)
                continue
            if isinstance(order, Capture):
                # Captures run side by side: they wait for compilers, not for the device.
                handle = self._channel.take_fd()
                threading.Thread(target=self._serve_one, args=(order, handle), daemon=True).start()
                continue
            brought = None if isinstance(order, Open) else self._channel.take_fd()
            self._serve_one(order, brought)

    def _prepare(self, order: Prepare | Rest) -> None:
        if self._house is None:
            return
        if isinstance(order, Prepare):
            self._house.ahead.begin(order.source, sealed=order.sealed)
        else:
            self._house.ahead.rest()

    def _serve_one(self, order: wire.Wire, handle: int | None) -> None:
        try:
            answer = self._obey(order, handle)
        except Exception as why:  # noqa: BLE001 - a fault of the judge must reach the bench, not vanish
            answer = _fault(order, why)
        with self._speaking:
            self._channel.send(answer)

    def _obey(self, order: wire.Wire, handle: int | None) -> wire.Wire:
        if isinstance(order, Open):
            return self._open(order)
        house = self._house
        if house is None:
            raise RuntimeError("no problem was opened before the first candidate")
        assert handle is not None  # noqa: S101 - every other order brings one
        worker = wire.Channel(socket.socket(fileno=handle))
        try:
            return self._about(worker, house, order)
        except BaseException:
            worker.close()  # it may not have come to anybody who would
            raise

    def _about(self, worker: wire.Channel, house: House, order: wire.Wire) -> wire.Wire:
        match order:
            case Seat():
                fence = house.seat(worker, order.role, order.source, order.pid)
                return Seated(ticket=order.ticket, fence=fence)
            case Capture():
                verdict = house.capture(worker, order.source, order.deadlines)
                return Cleared(ticket=order.ticket, verdict=verdict)
            case Try():
                return Verdict(ticket=order.ticket, verdict=house.try_candidate(worker, order))
            case Trace():
                seen = house.trace(worker, order.source)
                return TracedOnce(ticket=order.ticket, seen=seen)
            case CallOnce():
                house.call_once(worker, order.source, order.role)
                return Seated(ticket=order.ticket)
            case _:
                raise RuntimeError(f"unknown order {type(order).__name__}")

    def _open(self, order: Open) -> wire.Wire:
        if order.measure_baseline:
            assert self._house is not None  # noqa: S101 - the bench opens first
            return Opened(settled=self._house.settled, baseline=self._house.baseline())
        from refine_agent.judge.trial import House  # noqa: PLC0415 - torch comes with it

        self._house = House(order.source, device=order.device, known=order.known)
        return Opened(settled=self._house.settled)


def _fault(order: wire.Wire, why: Exception) -> Failed:
    import traceback  # noqa: PLC0415 - only when something went wrong

    from refine_agent.judge import room  # noqa: PLC0415 - torch comes with it
    from refine_agent.judge.leash import Unstoppable  # noqa: PLC0415 - likewise
    from refine_agent.judge.reference import ProblemFault  # noqa: PLC0415 - likewise
    from refine_agent.judge.seats import Ended, Unready  # noqa: PLC0415 - likewise

    kind: Literal["problem", "machine", "worker", "judge"] = "judge"
    message = f"{type(why).__name__}: {why}"
    match why:
        case Ended():
            kind, message = "worker", msgspec.json.encode(why.verdict).decode()
        case ProblemFault():
            kind, message = "problem", str(why)
        case Unready() | Unstoppable() | ArenaFault():
            kind, message = "machine", str(why)
        case _ if room.was_lacking(why):
            kind = "machine"
            message = (
                f"the problem does not fit the memory that is free here ({room.said(why)}); give "
                "it smaller inputs, or end what else uses that memory"
            )
    if kind != "worker":
        traceback.print_exc()
    return Failed(ticket=getattr(order, "ticket", 0), kind=kind, message=message)


if __name__ == "__main__":
    main()
