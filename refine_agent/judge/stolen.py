"""The time that a virtual machine's host took its cores away, as the kernel counts it.

No process sees it but by what takes longer, so a noisy verdict names it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

# Of a calm machine's cores the host takes less than this part.
CALM = 0.01
# The eighth number of the first line of /proc/stat (proc(5)), in clock ticks.
_STEAL = 8


class Stolen:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._since, self._began = _ticks(), time.monotonic()

    def part(self) -> float:
        """Return the part of all cores' time that was taken away; 0 where the kernel is silent."""
        cores_s = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        stolen_s = (_ticks() - self._since) / os.sysconf("SC_CLK_TCK")
        return min(1.0, max(0.0, stolen_s / cores_s)) if cores_s else 0.0


def _ticks() -> int:
    try:
        total = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0].split()
        return int(total[_STEAL])
    except (OSError, ValueError, IndexError):
        return 0
