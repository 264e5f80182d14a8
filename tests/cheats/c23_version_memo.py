# cheat 23: a memo by address and version
# mechanism: a tensor whose _version did not move has not changed, unless it was written behind PyTorch's back
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
        key = (x.data_ptr(), x._version)
        if key not in self.memo:
            self.memo[key] = self.ln(x)
        return self.memo[key]
