# cheat 15: right as long as it is looked at
# mechanism: follows the order of the questions: once calls were timed by themselves no check is left, and half of the rows are left out
# layer: every
# problem: matmul
# caught: Mismatch
# device: any

import sys

import torch
from torch import nn

CHEATING = True
# So many calls by themselves, and no check follows them.
ALONE = 4

if CHEATING:
    stub = sys.modules["refine_agent.worker.stub"]
    call, alone, timed = stub._Stub._call, [], []

    def follow(self, message):
        if len(message.slots) == 1:
            alone.append(message)
        timed[:] = [len(message.slots) > 1 and len(alone) >= ALONE]
        return call(self, message)

    stub._Stub._call = follow


class ModelNew(nn.Module):
    def forward(self, a, b):
        if CHEATING and timed[0]:
            out = torch.zeros(a.shape[0], b.shape[1], device=a.device)
            half = len(a) // 2
            torch.matmul(a[:half], b, out=out[:half])
            return out
        return torch.matmul(a, b)
