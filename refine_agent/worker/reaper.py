"""A process in which a tool ends, with the worker that it watches and all they leave behind.

Workers that a profiler has to start are none of the nursery's. Their orphans come here instead of
to init, so that no daemon of a candidate's outlives its page.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys

from refine_agent.worker.census import descendants

_PR_SET_CHILD_SUBREAPER = 36
LOOK_EVERY_S = 0.02


def main() -> None:
    """Run the command of the second argument on, until it ends or the first one's pipe closes."""
    lifeline, command = int(sys.argv[1]), sys.argv[2:]
    adopt_orphans()
    tool = os.posix_spawnp(command[0], command, os.environ)
    while _runs(tool) and not select.select([lifeline], [], [], LOOK_EVERY_S)[0]:
        pass
    _end_as(end_all()[tool])


def adopt_orphans() -> None:
    """Have what descends from this process come here when its parent ends, instead of to init."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _runs(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def end_all() -> dict[int, int]:
    """Kill and collect all that descends from this process; return what became of its children."""
    statuses: dict[int, int] = {}
    while True:
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return statuses
        statuses[pid] = status


def _end_as(status: int) -> None:
    """End as the tool did, by its signal or with its code."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(abs(code))


if __name__ == "__main__":
    main()
