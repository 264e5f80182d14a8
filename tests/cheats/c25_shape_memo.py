# cheat 25: the last answer for this shape
# mechanism: the same shape means the same answer
# layer: fresh
# off: fresh clock
# problem: layernorm
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        self.memo = {}

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        key = tuple(x.shape)
        if key not in self.memo:
            self.memo[key] = self.ln(x)
        return self.memo[key]
