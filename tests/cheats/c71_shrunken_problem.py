# cheat 71: a smaller problem
# mechanism: torch.rand is replaced before the inputs are drawn, and they are two by two
# layer: apart
# problem: matmul
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True

if CHEATING:
    torch.rand = lambda *_, **__: torch.ones(2, 2)


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        return a[:2, :2] @ b[:2, :2]
