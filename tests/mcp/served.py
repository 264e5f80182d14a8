"""A server over a scripted bench, for clients in tests: ``python served.py FOLDER [RUN]``.

A kernel that says `# takes: 2` is judged for two seconds, and one that says `# only light` does not
survive its sealing; everything else is the stand-in's.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from refine_agent.mcp import serve
from refine_agent.records import Mismatch, Problem
from refine_agent.session import Session
from refine_agent.standins import ScriptedBench

if TYPE_CHECKING:
    from refine_agent.loop import Watch
    from refine_agent.records import AnyVerdict, Candidate

_TAKES = re.compile(r"^# takes: (?P<seconds>[\d.]+)$", re.MULTILINE)


class SlowBench(ScriptedBench):
    """Takes as long as the kernel says, and talks on stdout as candidates do."""

    def judge(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Return the scripted verdict, in its time."""
        takes = _TAKES.search(candidate.source)
        watch.phase("judge")
        for _ in range(2):
            print("this is not the protocol's", flush=True)  # noqa: T201 - what is tested
            time.sleep(float(takes["seconds"]) / 2 if takes else 0)
        return super().judge(candidate, watch)

    def seal(self, candidate: Candidate, watch: Watch) -> AnyVerdict:
        """Refuse a kernel that says it is right in the light build only."""
        if "# only light" in candidate.source:
            return Mismatch(case="sealed", reason="differs under a fresh seed")
        return super().seal(candidate, watch)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        opened = Session.open(Path(sys.argv[2]), bench=SlowBench())
    else:
        opened = Session.start(
            Problem(name="scale", source="class Model: ..."),
            model="manual",
            runs=Path(sys.argv[1]),
            bench=SlowBench(),
        )
    serve(opened)
