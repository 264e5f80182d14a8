"""Which fault leaves with which exit code; the exceptions themselves belong to their rooms.

They are named, not imported: `--help` must not load the rooms to know them.
"""

from __future__ import annotations

import errno
import os
import select
import sys

DONE = 0
FINISHED_WITHOUT = 1
USAGE = 2
MACHINE = 3
MODEL = 4
WAITS = 5
INTERRUPTED = 130

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
# Whoever named the file can name another.
_NO_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_CODES = {
    "refine_agent.problem.ProblemError": USAGE,
    "refine_agent.session.SessionError": USAGE,
    "refine_agent.kernel_file.KernelFileError": USAGE,
    "refine_agent.transcript.TranscriptError": USAGE,
    "refine_agent.profiling.ncu_rep.UnreadableReport": USAGE,
    "refine_agent.export.ExportError": FINISHED_WITHOUT,
    "refine_agent.loop.ProblemRefused": USAGE,
    "refine_agent.loop.BenchFault": MACHINE,
    "refine_agent.author.AuthorFault": MODEL,
    "refine_agent.loop.NoAnswer": WAITS,
}


def exit_code_of(fault: BaseException) -> int | None:
    """Return the exit code a fault stands for, or ``None`` for one nobody foresaw."""
    for kind in type(fault).__mro__:
        code = _CODES.get(f"{kind.__module__}.{kind.__qualname__}")
        if code is not None:
            return code
    if isinstance(fault, OSError) and fault.errno in _NO_FILE and fault.filename:
        return USAGE
    if isinstance(fault, OSError) and (fault.filename or fault.errno in _NO_ROOM):
        return MACHINE
    return None


def sentence_of(fault: BaseException) -> str:
    """Return the fault in one sentence for a person."""
    if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
        return f"the run cannot be written ({fault.strerror}); free some space, then `resume` it"
    if isinstance(fault, FileNotFoundError) and fault.filename:
        return f"{fault.filename}: there is no such file, or no such folder to put it into"
    if isinstance(fault, OSError) and fault.errno in _NOT_ALLOWED and fault.filename:
        return f"{fault.filename}: {fault.strerror}; name another place (--runs DIR, --output FILE)"
    if isinstance(fault, OSError) and fault.filename:
        return f"{fault.filename}: {fault.strerror}; check that it is there and may be used"
    return str(fault)


def write_to_nobody() -> None:
    """Send what is still to be said where it cannot fail, if its reader has gone."""
    for stream in (sys.stdout, sys.stderr):
        if _has_no_reader(stream.fileno()):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # Python, too, would complain again at exit
            os.close(nowhere)


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
