"""A process that has a candidate's user id and stops or continues every process of that user.

It owns one system call: ``kill(-1)`` reaches all of them at once, those being forked included, as
no list of numbers does (Linux 4.19 and later). Whom it serves is ``leash``'s business; only the
standard library is imported, and it runs by itself: ``python -I -S warder.py UID``.
"""

import os
import signal
import sys

STOP, GO, DONE = b"s", b"g", b"."
_SIGNALS = {STOP: signal.SIGSTOP, GO: signal.SIGCONT}


def main() -> None:
    """Become the user, then obey single bytes until there are no more."""
    uid = int(sys.argv[1])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.write(1, DONE)
    while order := os.read(0, 1):
        _signal_all(_SIGNALS[order])
        os.write(1, DONE)


def _signal_all(number: int) -> None:
    try:
        os.kill(-1, number)  # everybody it may, but itself
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    main()
