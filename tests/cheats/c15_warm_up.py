# cheat 15: right as long as it is looked at
# mechanism: counts its calls; once the checks must be over it returns without working
# layer: every
# off: every clock alone
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
            return torch.zeros(a.shape[0], b.shape[1], device=a.device)
        return torch.matmul(a, b)
