"""A worker's processes, stopped while it is not their turn.

It owns finding them, stopping them and letting them go on; it leaves ending them to the bench. A
stopped candidate cannot compute ahead, finish late, slow a baseline down or write after the bell.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from refine_agent.judge import warder
from refine_agent.worker.census import children, descendants, everybody, tasks, user_of

if TYPE_CHECKING:
    from collections.abc import Iterable

# A thread that never returns from the kernel cannot be stopped; the judge does not wait for it.
STOP_DEADLINE_S = 5.0
# Its warder is a Python that has to start; nobody's code but ours runs before it is up.
BORN_DEADLINE_S = 60.0
# Whose a process is, is looked up once, and again after so long: reading it of all that run took a
# busy machine 16 ms, twice a block. That all of a user's are stopped does not depend on it.
LOOKED_UP_FOR_S = 1.0
# A thread is listed as stopped just before it leaves its core. Where a host takes the core from a
# virtual machine at that moment, it leaves milliseconds later, and its time is counted then; wchan
# names what it waits in once it has left, on kernels that tell. So long is it waited for at most.
LEAVING_S = 0.05
# Stopped, dead and gone in /proc/PID/stat; D runs no code of its own until it stops. Not "t":
# whoever traces a process may swallow its stop, and let it go on.
_HALTED = "TZXD"


class Unstoppable(Exception):  # noqa: N818 - said of a process
    """A process did not stop when it was told to."""


class Bearing(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel's scheduler was told of one thread."""

    nice: int
    policy: int
    cores: frozenset[int]


class Leash:
    """Stops every process of one worker, and lets it go on.

    ``uid`` is a user whose every process belongs to this worker, or ``None``. A ``guest`` without
    one is known by descent, and so is whatever else its nursery was left with since it was born.
    """

    def __init__(self, pid: int, *, uid: int | None, guest: bool = False) -> None:
        self._pid = pid
        self._uid = uid
        self._adopter = _parent(pid) if guest and uid is None else None
        self._others: set[int] = set()
        self._known: set[int] = set()
        self._strangers: set[int] = set()  # who runs here and is somebody else's
        self._looked_up = -LOOKED_UP_FOR_S
        self._spent_s: dict[int, float] = {}
        self._told_where = True  # whether the kernel says what a stopped thread waits in
        # The processor time they used after they had last been told to stop: a system call under
        # way is finished first.
        self.ran_on_s = 0.0
        # By descriptor, so that a number used again never names somebody else's process.
        self._leader = os.pidfd_open(pid)
        try:
            self._warder = _Warder(uid) if uid is not None else None
        except BaseException:
            os.close(self._leader)
            raise

    def stop(self) -> None:
        """Stop them all, and return when none of them runs."""
        ends = time.monotonic() + STOP_DEADLINE_S
        self._signal_leader(signal.SIGSTOP)
        told = {pid: _processor_seconds(pid) for pid in (self._pid, *self._known)}
        for pid in self._known:  # at once, whatever keeps the warder from running
            _signal(pid, signal.SIGSTOP)
        if self._warder is not None:
            self._warder.tell(warder.STOP)
        before: set[int] | None = None
        while True:
            members = self._members()
            for pid in members:
                _signal(pid, signal.SIGSTOP)
            self._others |= members
            self._known = members
            if all(_halted(pid) for pid in (self._pid, *members)):
                # Whom a list is made of may have forked while it was made: look again.
                if self._warder is not None or members == before or not members:
                    self._have_left((self._pid, *members))
                    self._spent_s = now = self._processor_seconds()
                    ran = (now.get(pid, 0.0) - was for pid, was in told.items())
                    self.ran_on_s = sum(max(0.0, each) for each in ran)
                    return
                before = members
            if time.monotonic() > ends:
                raise Unstoppable(f"process {self._pid} could not be stopped")
            os.sched_yield()  # a thread needs a core to stop, and this may be the one

    def _have_left(self, pids: Iterable[int]) -> None:
        """Wait until no stopped thread is on a core any more: only then is its time all counted."""
        ends = time.monotonic() + LEAVING_S
        while self._told_where and any(map(_leaves, pids)):
            self._told_where = time.monotonic() < ends

    def go(self) -> None:
        """Let them go on."""
        if self._others and self._warder is not None:
            self._warder.tell(warder.GO)
        for pid in self._others:
            _signal(pid, signal.SIGCONT)
        self._others = set()
        self._signal_leader(signal.SIGCONT)

    def out_of_turn_s(self) -> float:
        """Return the most processor time that one of its processes has used since it was stopped.

        A process may have the kernel let it go on: by a timer whose signal is SIGCONT, for one.
        """
        now = self._processor_seconds()
        return max([0.0, *(now[pid] - self._spent_s[pid] for pid in self._spent_s)])

    def _processor_seconds(self) -> dict[int, float]:
        return {pid: _processor_seconds(pid) for pid in (self._pid, *self._others)}

    def processor_seconds(self) -> float:
        """Return the processor time that all of its processes have used."""
        return sum(map(_processor_seconds, (self._pid, *self._members())))

    def bearings(self) -> dict[int, Bearing]:
        """Return how each thread of the leader is scheduled, by its number."""
        found = {}
        for task in map(int, tasks(self._pid)):
            with contextlib.suppress(OSError):
                found[task] = _bearing(task)
        return found

    def restore(self, bearings: dict[int, Bearing]) -> None:
        """Have the leader's threads scheduled as they were, as far as one may."""
        for task, was in bearings.items():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(task, was.cores)
                os.sched_setscheduler(task, was.policy, os.sched_param(0))
                os.setpriority(os.PRIO_PROCESS, task, was.nice)

    def close(self) -> None:
        """Forget the worker; it goes on, and its end is the bench's."""
        with contextlib.suppress(Unstoppable):
            self.go()
        os.close(self._leader)
        if self._warder is not None:
            self._warder.close()

    def _signal_leader(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._leader, number)
        except ProcessLookupError:
            return

    def _members(self) -> set[int]:
        """Everything of the worker's but its leader: by user id, or else by descent."""
        if self._uid is not None:
            found = self._of_user(self._uid)
        else:
            found = descendants(self._pid) | self._strays()
        return found - {self._pid, self._warder.pid if self._warder is not None else 0}

    def _of_user(self, uid: int) -> set[int]:
        """Every process of a user's. Who runs on since the last look has not changed hands."""
        running = set(everybody())
        now = time.monotonic()
        if now - self._looked_up > LOOKED_UP_FOR_S:
            self._strangers, self._looked_up = set(), now
        owners = {pid: user_of(pid) for pid in running - self._strangers}
        strangers = {pid for pid, owner in owners.items() if owner not in (uid, None)}
        self._strangers = (self._strangers & running) | strangers
        return {pid for pid, owner in owners.items() if owner == uid}

    def _strays(self) -> set[int]:
        """What daemons leave to the nursery; anything of its that is younger may be one."""
        if self._adopter is None:
            return set()
        born = _started(self._pid)
        younger = {pid for pid in children(self._adopter) if _started(pid) >= born}
        return younger.union(*map(descendants, younger)) if younger else set()


class _Warder:
    """The process that signals for a leash, seen from it."""

    def __init__(self, uid: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(warder.__file__)), str(uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self.pid = self._process.pid
        try:
            self._await(
                BORN_DEADLINE_S,
                otherwise="the process that is to stop a candidate's did not start; see whether "
                "this machine has room and time for one",
            )
            self._bearing = _bearing(self.pid)
        except BaseException:
            self.close()
            raise

    def tell(self, order: bytes) -> None:
        """Have everybody stopped, or let go on; return when it was done."""
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        try:
            moved = _bearing(self.pid) != self._bearing
            self._process.stdin.write(order)
        except (BrokenPipeError, ProcessLookupError):
            raise Unstoppable("the process that stops a candidate's was ended by it") from None
        self._await(
            STOP_DEADLINE_S, otherwise="the process that stops a candidate's does not answer"
        )
        if moved:  # of the same user, so that a candidate may have it wait while its own run
            raise Unstoppable("the process that stops a candidate's was told to wait by it")

    def _await(self, seconds: float, *, otherwise: str) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not ready or self._process.stdout.read(1) != warder.DONE:
            raise Unstoppable(otherwise)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def _bearing(task: int) -> Bearing:
    return Bearing(
        nice=os.getpriority(os.PRIO_PROCESS, task),
        policy=os.sched_getscheduler(task),
        cores=frozenset(os.sched_getaffinity(task)),
    )


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


def _halted(pid: int) -> bool:
    """Whether no thread of the process runs; a process that is gone does not."""
    return all(state_in(f"/proc/{pid}/task/{task}/stat") in _HALTED for task in tasks(pid))


def _leaves(pid: int) -> bool:
    """Whether a thread of the process is listed as stopped and is on a core all the same."""
    return any(
        _waits_in(pid, task) == "0" and state_in(f"/proc/{pid}/task/{task}/stat") == "T"
        for task in tasks(pid)
    )


def _waits_in(pid: int, task: str) -> str:
    """Return the kernel's function that a thread waits in; "0" if in none, or it is not told."""
    try:
        return Path(f"/proc/{pid}/task/{task}/wchan").read_text(encoding="ascii")
    except OSError:
        return ""


def state_in(path: str) -> str:
    """Return the letter of a process's or a thread's state, of its file in /proc; X if gone."""
    return (_stat(path) or ["X"])[0]


def _parent(pid: int) -> int:
    return int(_stat(f"/proc/{pid}/stat")[1])


def _started(pid: int) -> int:
    """When a process was born, in clock ticks since the machine was; never, if it is gone."""
    found = _stat(f"/proc/{pid}/stat")
    return int(found[19]) if found else -1


def _stat(path: str) -> list[str]:
    """What proc(5) lists after the name, which may hold anything; nothing if it is gone."""
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()
