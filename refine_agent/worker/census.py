"""Who runs on this machine, by user.

It owns reading that from /proc; ending anybody is left to whoever asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container


def running_as(users: Container[int]) -> list[int]:
    """Return the processes of some users; the dead that nobody has collected do not run."""
    everybody = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in everybody if _user_if_alive(pid) in users]


def _user_if_alive(pid: int) -> int | None:
    # Not the owner of /proc/PID: a process that is not dumpable gives that to root.
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return None if fields.get("State", "Z").startswith("Z") else int(fields["Uid"].split()[0])
