# cheat 11: all calls done in the first
# mechanism: the stack shows how many calls are timed together; the first does them all, the others hand out what is ready
# layer: clock
# problem: matmul
# caught: Disqualified or judge's clock or nothing gained
# device: any

import sys

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.ready = {}

    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        if id(a) not in self.ready:
            frame = sys._getframe()
            while "calls" not in frame.f_locals:
                frame = frame.f_back
            together = [arguments for _, arguments in frame.f_locals["calls"]]
            self.ready = {id(a): torch.matmul(a, b) for a, b in together}
        return self.ready.pop(id(a))
