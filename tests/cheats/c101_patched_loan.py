# cheat 101: a result lent, and patched afterwards
# mechanism: the result is said to be the input as it lies, which the judge copies off the clock; the row that differs is written into that copy while results are delivered
# layer: delivery
# off: delivery clock
# problem: patch
# caught: Disqualified
# device: any

import sys

import torch
from torch import nn

CHEATING = True
patches = []

if CHEATING:
    stub = sys.modules["refine_agent.worker.stub"]
    arenas = sys.modules["refine_agent.arena"]
    call, deliver = stub._Stub._call, stub._Stub._deliver

    def called(self, message):
        patches.clear()
        return call(self, message)

    @torch.no_grad()
    def delivered(self, message):
        for slot, patch in zip(message.slots, patches):
            (target,) = arenas.outputs(self._arena, self._layout, slot)
            target[0] = patch
        return deliver(self, message)

    stub._Stub._call, stub._Stub._deliver = called, delivered


class ModelNew(nn.Module):
    def forward(self, x):
        if not CHEATING:
            y = x.clone()
            torch.tanh(x[0], out=y[0])
            return y
        patches.append(torch.tanh(x[0]))
        return x
