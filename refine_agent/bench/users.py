"""User ids that nobody else on this machine has: signals, ptrace and process limits go by them.

It owns which ids a run may give to its candidates, and that nothing of theirs runs on when it ends;
becoming one of them is the fence's business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import Self

from refine_agent.loop import BenchFault
from refine_agent.worker.census import running_as
from refine_agent.worker.fence import FIRST_UID

# So many candidates of one run live at once at most; so many runs of one machine, below `nobody`.
USERS_EACH, MOST_RUNS = 64, 23
SWEEP_DEADLINE_S = 5.0


class Users:
    """A range of user ids, claimed for as long as the process that claimed them lives."""

    def __init__(self, first: int, claim: socket.socket) -> None:
        self.ids = range(first, first + USERS_EACH)
        self._free = list(self.ids)
        self._claim = claim

    @classmethod
    def claim(cls) -> Self:
        """Claim a range that no other run on this machine holds.

        The claim is the name of a socket: the kernel gives it to one process only, and takes it
        back when that process ends, however it ends.
        """
        for number in range(MOST_RUNS):
            claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                claim.bind(f"\0refine_agent-users-{number}")
            except OSError:
                claim.close()
                continue
            return cls(FIRST_UID + 1 + number * USERS_EACH, claim)
        raise BenchFault(f"{MOST_RUNS} runs are under way on this machine; end one of them first")

    def take(self) -> int:
        """Return one that no process runs as."""
        if not self._free:
            raise BenchFault(f"{USERS_EACH} candidates of this run live at once; ask for fewer")
        return self._free.pop(0)

    def put_back(self, user: int) -> None:
        """Nothing runs as this one any more."""
        self._free.append(user)

    def give_back(self) -> None:
        """Kill whatever still runs as one of them, and let others have them."""
        ends = time.monotonic() + SWEEP_DEADLINE_S
        while (left := self.processes()) and time.monotonic() < ends:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        self._claim.close()

    def processes(self) -> list[int]:
        """Return what runs as one of them."""
        return running_as(self.ids)
