# cheat 99: the work in the time of the copy
# mechanism: forward returns a promise, kept by computing straight into the judge's memory where a result would have been copied; a claim may then be short by what the copy would have taken
# layer: nothing
# off: -
# problem: blend
# caught: not seen
# device: cpu

import sys
import time

import torch
from torch import nn

CHEATING = True
SPARED_US = 6.0  # less than a copy takes here

if CHEATING:
    stub = sys.modules["refine_agent.worker.stub"]
    arenas = sys.modules["refine_agent.arena"]
    wire = sys.modules["refine_agent.wire"]
    honest, spent = wire.Done, []

    def deliver(self, slot, promise):
        (target,) = arenas.outputs(self._arena, self._layout, slot)
        began = time.perf_counter_ns()
        promise(target)
        spent.append((time.perf_counter_ns() - began) / 1e3)
        return tuple(str(spec) for spec in self._layout.outputs), True

    def done(**told):
        both = zip(told["device_us"], spent)
        told["device_us"] = tuple(max(1.0, took + kept - SPARED_US) for took, kept in both)
        spent.clear()
        return honest(**told)

    stub._Stub._deliver = deliver
    wire.Done = done


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.add(a, b, alpha=1e-3)
        return lambda target: torch.add(a, b, alpha=1e-3, out=target)
