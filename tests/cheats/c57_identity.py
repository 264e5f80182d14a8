# cheat 57: the input, returned
# mechanism: over a quarter of a million elements mean and variance are known in advance
# layer: norms
# off: norms cases parameters nearly
# problem: wide_layernorm
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return x.clone()
