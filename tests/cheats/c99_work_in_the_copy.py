# cheat 99: the work in the time of the copy
# mechanism: forward returns an empty result at once; where it would have been copied into the judge's memory it is computed there, which takes no longer
# layer: delivery
# off: delivery clock
# problem: blend
# caught: Mismatch
# device: any

import sys

import torch
from torch import nn

CHEATING = True

if CHEATING:
    stub = sys.modules["refine_agent.worker.stub"]
    arenas = sys.modules["refine_agent.arena"]
    wire = sys.modules["refine_agent.wire"]
    promises = []

    def deliver(self, message):
        # What was asked for warming up is never delivered.
        for slot, (a, b) in zip(message.slots, promises[-len(message.slots) :]):
            (target,) = arenas.outputs(self._arena, self._layout, slot)
            torch.add(a, b, alpha=1e-3, out=target)
        promises.clear()
        if target.is_cuda:
            torch.cuda.synchronize()
        return wire.Delivered()

    stub._Stub._deliver = deliver


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.add(a, b, alpha=1e-3)
        promises.append((a, b))
        return torch.empty_like(a)
