# cheat 63: nothing but NaN
# mechanism: NaN is never larger than a tolerance
# layer: nan
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

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return torch.full_like(x, float("nan"))
