# cheat 22: a memo by address
# mechanism: the same data_ptr means the same answer
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
        key = x.data_ptr()
        if key not in self.memo:
            self.memo[key] = self.ln(x)
        return self.memo[key]
