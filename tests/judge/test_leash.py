"""Where nobody could stop a candidate it is not tried, and nothing of the attempt is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refine_agent import wire
from refine_agent.judge import orders
from refine_agent.judge.__main__ import _Bench
from refine_agent.judge.settled import Known
from refine_agent.judge.trial import House
from refine_agent.profiling.records import Ceilings

PROBLEM = """
import torch

class Model(torch.nn.Module):
    def forward(self, x):
        return 1 + 2 * x

def get_inputs():
    return [torch.randn(64, 256)]

def get_init_inputs():
    return []
"""
# No user has such a number: who is to become that user ends before it is up.
NO_USER = 1 << 40


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children() -> set[str]:
    lists = Path("/proc/self/task").glob("*/children")
    return {pid for each in lists for pid in each.read_text(encoding="ascii").split()}


def test_a_warder_that_does_not_start_is_the_machines_fault_and_leaves_nothing() -> None:
    (ours, theirs), (bench, judge) = wire.Channel.pair(), wire.Channel.pair()
    serving = _Bench(orders.JudgeChannel(judge))
    serving._house = House(PROBLEM, device="cpu", known=Known(ceilings=Ceilings(device="CPU")))
    had, born = descriptors(), children()
    order = orders.Try(ticket=7, source="", pid=os.getpid(), uid=NO_USER)

    serving._serve_one(order, theirs.detach())
    answer = orders.JudgeChannel(bench).receive(deadline_s=10.0)
    with pytest.raises(wire.Broken, match="closed"):
        wire.Channel(ours).receive(deadline_s=10.0)

    assert isinstance(answer, orders.Failed)
    assert (answer.ticket, answer.kind) == (7, "machine")
    assert "did not start" in answer.message
    assert descriptors() == had - 1  # the worker's channel
    assert children() == born
    for end in (ours, bench, judge):
        end.close()
