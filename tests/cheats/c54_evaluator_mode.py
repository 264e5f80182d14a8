# cheat 54: another mode when it is timed
# mechanism: follows the order of the questions: exact until calls were timed by themselves, in half precision from then on
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
            return torch.matmul(a.bfloat16(), b.bfloat16()).float()
        return torch.matmul(a, b)
