# cheat 24: a memo by a sample of the content
# mechanism: a few elements stand for all of them
# layer: nearly
# off: nearly clock
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
        key = tuple(x.flatten()[:: x.numel() // 7].tolist())
        if key not in self.memo:
            self.memo[key] = self.ln(x)
        return self.memo[key]
