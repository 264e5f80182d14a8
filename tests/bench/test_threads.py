"""Where a candidate's threads run, and in which memory, is nobody's luck.

OpenMP's have a core each, others any core; temporaries lie in memory that was touched before.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import IN_TURNS, LocalBench
from refine_agent.loop import Quiet
from refine_agent.records import Candidate, Options, Passed, Problem

if TYPE_CHECKING:
    from pathlib import Path

PROBLEM = """
import torch
class Model(torch.nn.Module):
    def forward(self, x):
        return x.exp() * 2
def get_inputs(): return [torch.randn(512, 512)]
def get_init_inputs(): return []
"""
# It reports by failing: what a candidate raises is what its author reads.
LOOKING = """
import os, threading
import torch
class ModelNew(torch.nn.Module):
    def forward(self, x):
        result = x.exp() * 2
        cores = {}
        for each in os.listdir("/proc/self/task"):
            try:
                cores[each] = os.sched_getaffinity(int(each))
            except ProcessLookupError:  # a thread of the last call's, on its way out
                continue
        own = cores.pop(str(os.getpid()))
        started = []
        thread = threading.Thread(target=lambda: started.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
        if not (own == started[0] == EVERYWHERE):
            raise RuntimeError(f"a call runs on {own}, what it starts on {started[0]}")
        if not any(len(each) < len(EVERYWHERE) for each in cores.values()):
            raise RuntimeError(f"no thread of OpenMP's has a core of its own: {cores}")
        return result
"""


def test_openmps_threads_have_a_core_each_and_what_a_call_starts_may_go_anywhere(
    tmp_path: Path,
) -> None:
    everywhere = os.sched_getaffinity(0)
    if len(everywhere) < 2:
        pytest.skip("there is one core")
    problem = Problem(name="exp", source=PROBLEM)
    options = Options(device="cpu", compile_baseline=False, profile="off")
    with LocalBench(problem, options, tmp_path, deadlines=IN_TURNS) as bench:
        bench.measure(problem, Quiet())
        source = LOOKING.replace("EVERYWHERE", repr(everywhere))

        verdict = bench.judge(Candidate(source=source), Quiet())

    assert isinstance(verdict, Passed), verdict


LOSS = """
import torch
class Model(torch.nn.Module):
    def forward(self, x, y):
        return torch.nn.functional.mse_loss(x, y)
def get_inputs(): return [torch.randn(512, 2048), torch.randn(512, 2048)]
def get_init_inputs(): return []
"""
COUNTING = """
import resource
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
class ModelNew(torch.nn.Module):
    calls = 0
    def forward(self, x, y):
        before = faults()
        result = torch.nn.functional.mse_loss(x, y)
        new = faults() - before
        self.calls += 1
        if self.calls > 1 and new > 400:  # its temporary has 1,024 pages
            raise RuntimeError(f"call {self.calls} was given {new} new pages")
        return result
"""


def test_a_young_process_has_memory_for_its_temporaries(tmp_path: Path) -> None:
    problem = Problem(name="loss", source=LOSS)
    options = Options(device="cpu", compile_baseline=False, profile="off")
    with LocalBench(problem, options, tmp_path, deadlines=IN_TURNS) as bench:
        bench.measure(problem, Quiet())
        candidate = Candidate(source=COUNTING)
        verdict = bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())

    assert isinstance(verdict, Passed), verdict
