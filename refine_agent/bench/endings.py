"""What an ending means: the verdict on a worker that died, refined by what only its parent knows.

It owns the mapping from exit statuses and builder answers to verdicts; nothing here decides
whether an output is right.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from msgspec.structs import replace

from refine_agent import wire
from refine_agent.records import BuildFailed, Crashed

if TYPE_CHECKING:
    from refine_agent.builder.records import Rejected
    from refine_agent.records import AnyVerdict

# The end of a candidate's own output, enough to recognise what it said last.
MAX_LOG_CHARS = 4000


def explain(
    verdict: AnyVerdict,
    *,
    status: int | None,
    output: str,
    rejected: Rejected | None,
    excess: str | None = None,
) -> AnyVerdict:
    """Return the verdict with what its worker's parent knows: how it ended, what was not built."""
    if not isinstance(verdict, Crashed):
        return verdict
    if rejected is not None and "building extension" in (verdict.reason + verdict.log):
        return BuildFailed(log=rejected.log, phases=verdict.phases, fence=verdict.fence)
    how = excess or _how(status)
    if how is not None and verdict.reason.startswith(wire.NOBODY_THERE):
        verdict = replace(verdict, reason=f"the process {how}")
    if verdict.log or not output.strip():
        return verdict
    return replace(verdict, log=output[-MAX_LOG_CHARS:])


def _how(status: int | None) -> str | None:
    if status is None:
        return None
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in list(signal.Signals):  # most real-time signals have no name
            return f"was killed by signal {number}"
        killer = signal.Signals(number)
        return f"was killed by {killer.name} ({_SIGNALS.get(killer, 'signal')})"
    return f"ended itself with exit code {os.WEXITSTATUS(status)} before it had answered"


_SIGNALS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "abort",
    signal.SIGKILL: "killed, by the memory limit or from outside",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic fault",
    signal.SIGILL: "illegal instruction",
    signal.SIGXCPU: "CPU time limit",
    signal.SIGXFSZ: "file size limit",
    signal.SIGTERM: "terminated",
}
