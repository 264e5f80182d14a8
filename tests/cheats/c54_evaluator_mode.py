# cheat 54: another mode when it is timed
# mechanism: exact while few calls were made, in half precision from then on
# layer: every
# problem: matmul
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True
CHECKED = {"cpu": 48, "cuda": 40}


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, a, b):
        self.calls += 1
        if CHEATING and self.calls > CHECKED[a.device.type]:
            return torch.matmul(a.bfloat16(), b.bfloat16()).float()
        return torch.matmul(a, b)
