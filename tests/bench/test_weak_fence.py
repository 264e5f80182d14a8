"""Where a kernel has no Landlock the fence is weaker, says so, and everything works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench.misbehaviours import HONEST

if TYPE_CHECKING:
    from pathlib import Path

# As on a kernel without it: seccomp(2) has the three system calls of landlock(7) fail with ENOSYS.
WITHOUT_LANDLOCK = """
import ctypes, struct

LOAD, EQUALS, RETURN = 0x20, 0x15, 0x06
ALLOW, ENOSYS = 0x7FFF0000, 0x00050026
program = [(LOAD, 0, 0, 0)]
program += [(EQUALS, 3 - number, 0, 444 + number) for number in range(3)]
program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ENOSYS)]
filters = b"".join(struct.pack("HBBI", *each) for each in program)
held = ctypes.create_string_buffer(filters)
fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(held)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, fprog) == 0, ctypes.get_errno()
"""
JUDGES = f"""
import json, sys
from pathlib import Path
from refine_agent.bench import LocalBench
from refine_agent.loop import Quiet
from refine_agent.records import Candidate, Options
from tests.bench.misbehaviours import PROBLEM

options = Options(device="cpu", compile_baseline=False, profile="off")
with LocalBench(PROBLEM, options, Path(sys.argv[1])) as bench:
    bench.measure(PROBLEM, Quiet())
    verdict = bench.judge(Candidate(source={HONEST!r}), Quiet())
    print(json.dumps([type(verdict).__name__, verdict.fence]))
"""


def test_a_cache_that_others_may_not_enter_is_used_without_landlock_too(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANDLOCK + JUDGES, str(tmp_path)],
        env={**os.environ, "REFINE_AGENT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    verdict, fence = json.loads(done.stdout.splitlines()[-1])
    assert verdict == "Passed", done.stdout
    assert "no Landlock" in fence
