"""What a speedup is over: which baselines are there, why one is not, and that none gets lost."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from refine_agent.bench import LocalBench
from refine_agent.bench.line import JudgeGone
from refine_agent.loop import BenchFault, Quiet
from refine_agent.records import Options, Passed
from tests.bench.leftovers import verdict_on
from tests.bench.misbehaviours import HONEST, PROBLEM, SHORT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTIONS = Options(device="cpu", profile="off")
# While the file is there the compiler that torch.compile needs is not.
WITHOUT_COMPILER = """
import os
import torch._inductor.config
if os.path.exists({path!r}):
    torch._inductor.config.cpp.cxx = ("/nonexistent/g++",)
"""


@pytest.fixture
def no_compiler(temporary: Path) -> Iterator[Path]:
    path = temporary / "no-compiler"
    yield path
    path.unlink(missing_ok=True)


def opened(no_compiler: Path) -> LocalBench:
    source = WITHOUT_COMPILER.format(path=str(no_compiler)) + PROBLEM.source
    problem = replace(PROBLEM, source=source)
    return LocalBench(problem, OPTIONS, no_compiler.parent, deadlines=SHORT)


def kill_judge(bench: LocalBench) -> None:
    assert bench._line is not None
    os.kill(bench._line.pid, signal.SIGKILL)


def test_why_torch_compile_is_not_there_is_told_and_the_rest_goes_on(no_compiler: Path) -> None:
    no_compiler.touch()
    with opened(no_compiler) as bench:
        baseline = bench.measure(bench._problem, Quiet()).baseline
        verdict = verdict_on(bench, HONEST)
        roles = bench._roles()

    assert baseline.compiled is None
    assert "No working C++ compiler" in (baseline.why_not_compiled or "")
    assert isinstance(verdict, Passed)
    assert "compiled" not in roles  # as was said, also if processes of ours are started anew


def test_a_compiled_baseline_is_seated_again_after_a_restart_or_nothing_is_judged(
    no_compiler: Path,
) -> None:
    with opened(no_compiler) as bench:
        baseline = bench.measure(bench._problem, Quiet()).baseline
        no_compiler.touch()
        kill_judge(bench)
        for _ in range(2):
            with pytest.raises(BenchFault, match=r"torch\.compile ran the reference before"):
                verdict_on(bench, HONEST)
        no_compiler.unlink()
        verdict = verdict_on(bench, HONEST)
        kill_judge(bench)
        with pytest.raises(JudgeGone):
            bench._seat("compiled")

    assert baseline.compiled is not None
    assert baseline.why_not_compiled is None
    assert isinstance(verdict, Passed)
    assert verdict.compiled is not None
