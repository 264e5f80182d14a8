"""Results are kept until they are asked for, and by then nothing is left to make them of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from refine_agent.bench import LocalBench
from refine_agent.judge.glimpse import Memory
from refine_agent.judge.seats import Deadlines
from refine_agent.loop import Quiet
from refine_agent.records import (
    AnyVerdict,
    Candidate,
    Crashed,
    Disqualified,
    Mismatch,
    Options,
    Passed,
    Problem,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


PROBLEM = """
import torch
from torch import nn

MUTABLE_INPUTS = (1,)

class Model(nn.Module):
    def forward(self, x, y):
        y.add_(x)
        return x[:16], y, x.mT

def get_inputs():
    return [torch.randn(32, 48), torch.randn(32, 48)]

def get_init_inputs():
    return []
"""
HONEST = PROBLEM.partition("def get_inputs")[0].replace("class Model(", "class ModelNew(")
# What follows runs in the candidate's process, where nothing of the harness's is out of reach.
REACH = """
import sys
stub, wire = (sys.modules[f"refine_agent.{name}"] for name in ("worker.stub", "wire"))
arenas = sys.modules["refine_agent.arena"]
"""
OPTIONS = Options(device="cpu", compile_baseline=False, profile="off")
DEADLINES = Deadlines(load_s=60.0, calls_s=20.0, sampling_s=0.1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBench]:
    problem, folder = Problem(name="views", source=PROBLEM), tmp_path_factory.mktemp("run")
    with LocalBench(problem, OPTIONS, folder, deadlines=DEADLINES) as bench:
        bench.measure(problem, Quiet())
        yield bench


def judged(bench: LocalBench, source: str) -> AnyVerdict:
    candidate = Candidate(source=source)
    return bench.build(candidate, Quiet()) or bench.judge(candidate, Quiet())


def with_results(body: str) -> str:
    return HONEST.replace("        y.add_(x)\n        return x[:16], y, x.mT", body)


def test_views_of_inputs_and_inputs_themselves_may_be_returned(bench: LocalBench) -> None:
    verdict = judged(bench, HONEST)

    assert isinstance(verdict, Passed), verdict
    assert "reused output" not in {doubt.kind for doubt in verdict.suspicions}


def test_an_input_that_may_be_written_need_not_be(bench: LocalBench) -> None:
    body = "        return x[:16].clone(), x + y, x.mT.contiguous()"

    assert isinstance(judged(bench, with_results(body)), Passed)


def test_what_was_written_into_the_judges_memory_during_the_call_is_gone(
    bench: LocalBench,
) -> None:
    early = """
def own(self, slot, result, copied):
    leaves = honest(self, slot, result, copied)
    for target, leaf in zip(arenas.outputs(self._arena, self._layout, slot), leaves):
        target.copy_(leaf)
    return leaves

honest, stub._Stub._own = stub._Stub._own, own
stub._Stub._deliver = lambda self, message: wire.Delivered()
"""
    # y would be taken from where it lies: this one returns a sum of its own.
    source = with_results("        return x[:16], x + y, x.mT")

    verdict = judged(bench, REACH + early + source)

    assert isinstance(verdict, Mismatch)
    assert "NaN" in verdict.reason


# It makes the results of what it was asked, or of copies of that, when they are to be delivered.
LATE = """
asked = []

def deliver(self, message):
    for slot, (x, y) in zip(message.slots, asked[-len(message.slots):]):
        outputs = arenas.outputs(self._arena, self._layout, slot)
        for target, leaf in zip(outputs, (x[:16], x + y, x.mT)):
            target.copy_(leaf)
    asked.clear()
    return wire.Delivered()

stub._Stub._deliver = deliver
"""


def late(*kept: str) -> str:
    body = (
        f"        asked.append(({', '.join(kept)}))\n"
        "        return torch.empty(16, 48), torch.empty(32, 48), torch.empty(48, 32)"
    )
    return REACH + LATE + with_results(body)


def telling(**fields: str) -> str:
    """Return what has a candidate's process tell something else of its calls, `count` in number."""
    lies = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    return f"""
honest = wire.Done

def done(**told):
    count = len(told["lent"])
    return honest(**told | {{{lies}}})

wire.Done = done
"""


def test_results_made_of_the_inputs_after_the_calls_are_wrong(bench: LocalBench) -> None:
    assert isinstance(judged(bench, late("x", "y")), Mismatch)


@pytest.mark.parametrize("lent", ["(-1, 1, 0)", "(-1, 7, -1)"])
def test_a_result_that_cannot_be_the_input_it_is_said_to_be_ends_the_trial(
    bench: LocalBench, lent: str
) -> None:
    """The third result is of another shape than input 0, and there is no input 7."""
    lie = telling(lent=f"({lent},) * count")

    assert isinstance(judged(bench, REACH + lie + HONEST), Crashed)


def looked_into(bench: LocalBench) -> None:
    parent = Memory(os.getppid())
    readable = parent.readable
    parent.close()
    if not readable:
        pytest.skip("the judge may look into nobody's memory here")
    assert bench.layers.delivery


def test_results_made_of_saved_inputs_after_the_calls_were_not_there_when_they_were_to_be(
    bench: LocalBench,
) -> None:
    looked_into(bench)
    verdict = judged(bench, late("x.clone()", "y.clone()"))

    assert isinstance(verdict, Disqualified)
    assert verdict.rule == "work in the delivery"
    assert "did not lie there" in verdict.evidence


@pytest.mark.parametrize(
    "places",
    ["()", "((),) * count", "((1, 2),) * count", "((0, 0, 0),) * count", "((8, 8, 8),) * count",
     "((-1, -1, -1),) * count", "((2**63 - 1,) * 3,) * count", "((4096,) * 3,) * (count + 1)"],
)  # fmt: skip
def test_who_does_not_say_where_results_lie_or_says_it_wrongly_is_disqualified(
    bench: LocalBench, places: str
) -> None:
    looked_into(bench)
    lie = telling(places=places, lent="((-1, -1, -1),) * count")
    body = "        y.add_(x)\n        return x[:16].clone(), y.clone(), x.mT.clone()"
    verdict = judged(bench, REACH + lie + with_results(body))

    assert isinstance(verdict, Disqualified), verdict
    assert verdict.rule == "work in the delivery"


@pytest.mark.parametrize("lent", ["()", "((),) * count", "((-1,) * 9,) * count"])
def test_who_tells_of_too_few_or_too_many_results_ends_its_own_trial_and_no_judge(
    bench: LocalBench, lent: str
) -> None:
    verdict = judged(bench, REACH + telling(lent=lent) + HONEST)

    assert isinstance(verdict, Crashed | Disqualified | Mismatch), verdict
    assert isinstance(judged(bench, HONEST), Passed)
