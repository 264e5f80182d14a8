"""A worker's processes, stopped while it is not their turn.

It owns finding them, stopping them and letting them go on; it leaves ending them to the bench. A
stopped candidate cannot compute ahead, finish late, slow a baseline down or write after the bell.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

# A thread that never returns from the kernel cannot be stopped; the judge does not wait for it.
STOP_DEADLINE_S = 5.0
# Stopped, traced, dead and gone in /proc/PID/stat; D runs no code of its own until it stops.
_HALTED = "TtZXD"


class Unstoppable(Exception):  # noqa: N818 - said of a process
    """A process did not stop when it was told to."""


class Leash:
    """Stops every process of one worker, and lets it go on."""

    def __init__(self, pid: int, *, uid: int | None) -> None:
        self._pid = pid
        self._uid = uid  # a user whose every process belongs to this worker, or None
        # By descriptor, so that a number used again never names somebody else's process.
        self._leader = os.pidfd_open(pid)
        self._others: set[int] = set()

    def stop(self) -> None:
        """Stop them all, and return when none of them runs."""
        ends = time.monotonic() + STOP_DEADLINE_S
        self._signal_leader(signal.SIGSTOP)
        while True:
            members = self._members()
            for pid in members:
                _signal(pid, signal.SIGSTOP)
            self._others |= members
            if all(_halted(pid) for pid in (self._pid, *members)):
                return
            if time.monotonic() > ends:
                raise Unstoppable(f"process {self._pid} could not be stopped")

    def go(self) -> None:
        """Let them go on."""
        for pid in self._others:
            _signal(pid, signal.SIGCONT)
        self._others = set()
        self._signal_leader(signal.SIGCONT)

    def processor_seconds(self) -> float:
        """Return the processor time that all of its processes have used."""
        return sum(map(_processor_seconds, (self._pid, *self._members())))

    def close(self) -> None:
        """Forget the worker; it goes on, and its end is the bench's."""
        self.go()
        os.close(self._leader)

    def _signal_leader(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._leader, number)
        except ProcessLookupError:
            return

    def _members(self) -> set[int]:
        """Everything of the worker's but its leader: by user id, or else by descent."""
        if self._uid is not None:
            found = {pid for pid in _all_processes() if _owner(pid) == self._uid}
        else:
            found = _descendants(self._pid)
        return found - {self._pid}


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _processor_seconds(pid: int) -> float:
    try:
        # How clock_getcpuclockid(3) numbers another process's clock; 2 is CPUCLOCK_SCHED.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _all_processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _owner(pid: int) -> int | None:
    # Not the owner of /proc/PID: a process that is not dumpable gives that to root.
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line[:4] == "Uid:"), None)


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for child in _children(waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in _tasks(pid):
        try:
            children += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return children


def _tasks(pid: int) -> list[str]:
    try:
        return [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _halted(pid: int) -> bool:
    """Whether no thread of the process runs; a process that is gone does not."""
    return all(_state(f"/proc/{pid}/task/{task}/stat") in _HALTED for task in _tasks(pid))


def _state(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X"
    return text[text.rindex(")") + 2]
