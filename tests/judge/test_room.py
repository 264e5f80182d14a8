"""Memory that is full is nobody's wrong answer, nor a fault of the problem."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import IN_TURNS, LocalBench
from refine_agent.loop import BenchFault, ProblemRefused, Quiet
from refine_agent.records import AnyVerdict, Candidate, Crashed, Options, Passed, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

OPTIONS = Options(device="cpu", compile_baseline=False, profile="off")
TOO_MUCH = "torch.empty(1 << 50)[:1]"
# What it asks for in float64, 5 GiB, is had where there is room and never touched. The judge keeps
# no more than 4 GiB for later, so that it has to ask anew.
ROOMY = """
        if x.dtype == torch.float64:
            torch.empty(5 << 28)
        return 1 + 2 * x
"""
LEFT_BYTES = 256 << 20


def problem(forward: str) -> Problem:
    source = f"""
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        {forward}

def get_inputs():
    return [torch.randn(64, 256)]

def get_init_inputs():
    return []
"""
    return Problem(name="scale", source=source)


def judged(bench: LocalBench) -> AnyVerdict:
    source = problem("return 1 + 2 * x").source.partition("def get_inputs")[0]
    candidate = Candidate(source=source.replace("class Model(", "class ModelNew("))
    return bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())


@contextmanager
def no_more_memory_for(pid: int) -> Iterator[None]:
    """Leave a process the memory that it has, and little besides."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + LEFT_BYTES
    soft, hard = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, (soft, hard))


def test_a_judge_without_room_for_the_answer_says_so_and_measures_nobody_by_another(
    tmp_path: Path,
) -> None:
    with LocalBench(problem(ROOMY), OPTIONS, tmp_path, deadlines=IN_TURNS) as bench:
        bench.measure(problem(ROOMY), Quiet())
        assert bench._line is not None
        with no_more_memory_for(bench._line.pid):
            crowded = judged(bench)
        afterwards = judged(bench)

    assert isinstance(crowded, Crashed), crowded
    assert crowded.during in ("check", "timing")
    assert "memory was full when the judge computed the right answer" in crowded.reason
    assert "you tried to allocate" in crowded.reason
    assert isinstance(afterwards, Passed)


@pytest.mark.parametrize(
    "forward",
    [
        f"return x + {TOO_MUCH}",
        f"return 2 * x if x.dtype != torch.float64 else x + {TOO_MUCH}",
    ],
    ids=["at its own precision", "in float64"],
)
def test_a_problem_that_does_not_fit_is_told_apart_from_one_that_does_not_work(
    tmp_path: Path, forward: str
) -> None:
    too_large = problem(forward)
    with (
        LocalBench(too_large, OPTIONS, tmp_path, deadlines=IN_TURNS) as bench,
        pytest.raises(BenchFault, match=r"does not fit the memory .*resume the run$") as why,
    ):
        bench.measure(too_large, Quiet())

    assert not isinstance(why.value, ProblemRefused)
