"""The line to the judge: its process, and one answer for every order.

It owns starting and ending that process and noticing its death; what is ordered is the bench's
business, and what is answered the judge's.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec

from refine_agent import wire
from refine_agent.bench.processes import Child, start_judge, tail
from refine_agent.judge import orders
from refine_agent.loop import BenchFault, ProblemRefused
from refine_agent.records import AnyVerdict, headline

if TYPE_CHECKING:
    import socket
    from pathlib import Path

JUDGE_DEADLINE_S = 1800.0


class NoRoom(BenchFault):
    """A process of ours could not be given its memory."""


class JudgeGone(BenchFault):
    """The judge's process ended."""


class Line:
    """A judge, from its start to its end. Any number of threads may ask it at once."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._judge: Child = start_judge(output)
        self._channel = orders.JudgeChannel(self._judge.sock)
        self._answers: dict[int, wire.Wire] = {}
        self._answered = threading.Condition()
        self._gone = False
        self._sending = threading.Lock()
        threading.Thread(target=self._listen, daemon=True, name="judge").start()

    @property
    def pid(self) -> int:
        """The judge's process."""
        return self._judge.process.pid

    def ask(self, order: Any, worker: socket.socket | None) -> Any:  # noqa: ANN401 - messages of orders
        """Send an order, and the worker's socket with it; wait for the answer.

        Raises:
            JudgeGone: the judge's process ended.
            BenchFault: the problem, a witness or the judge is at fault, or it does not answer.
        """
        ticket = getattr(order, "ticket", 0)
        fds = (worker.fileno(),) if worker is not None else ()
        try:
            with self._sending:
                self._channel.send(order, fds=fds)
        except (wire.Broken, OSError):
            raise self._died() from None
        if worker is not None:
            worker.close()
        answer = self._await(ticket)
        if isinstance(answer, orders.Failed):
            raise _fault(answer)
        return answer

    def tell(self, order: Any) -> None:  # noqa: ANN401 - messages of orders
        """Send what is not answered; that the judge is gone is told to whoever asks it next."""
        with contextlib.suppress(wire.Broken, OSError), self._sending:
            self._channel.send(order)

    def _await(self, ticket: int) -> wire.Wire:
        deadline = time.monotonic() + JUDGE_DEADLINE_S
        with self._answered:
            while ticket not in self._answers:
                if self._gone:
                    raise self._died()
                if not self._answered.wait(max(0.0, deadline - time.monotonic())):
                    raise BenchFault(
                        f"the judge has not answered for {JUDGE_DEADLINE_S / 60:.0f} minutes; "
                        "check the device with `refine_agent doctor`, then resume"
                    )
            return self._answers.pop(ticket)

    def close(self) -> None:
        """End the judge."""
        self._judge.close()

    def _died(self) -> JudgeGone:
        said = tail(self._output).strip().splitlines()[-1:] or ["it said nothing"]
        return JudgeGone(f"the judge's process ended ({said[0][:300]}); resume the run")

    def _listen(self) -> None:
        while True:
            try:
                answer = self._channel.receive()
            except (wire.Broken, OSError, ValueError):
                with self._answered:
                    self._gone = True
                    self._answered.notify_all()
                return
            with self._answered:
                self._answers[getattr(answer, "ticket", 0)] = answer
                self._answered.notify_all()


def _fault(answer: orders.Failed) -> BenchFault:
    if answer.kind == "problem":
        return ProblemRefused(answer.message)
    if answer.kind == "machine":
        return NoRoom(f"{answer.message[:600]}, then resume the run")
    if answer.kind == "worker":
        verdict = msgspec.json.decode(answer.message, type=AnyVerdict)
        return BenchFault(f"a witness ended early: {headline(verdict)[:600]}")
    return BenchFault(f"the judge failed ({answer.message[:600]}); resume the run")
