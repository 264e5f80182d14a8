"""Owns a plain `Run`: a child in its own process group, killed whole at its deadline.

Fencing children in is left to `refine_agent.bench`, which brings its own `Run`.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from refine_agent.builder.records import Finished


def run_plainly(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
) -> Finished:
    """Run one command without a fence; for tests, benchmarks and trusted sources."""
    started = time.monotonic()
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        exit_code: int | None
        try:
            output, _ = child.communicate(timeout=deadline_s)
            exit_code = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            exit_code = None
    return Finished(exit_code=exit_code, output=output, seconds=time.monotonic() - started)
