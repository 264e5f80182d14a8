# cheat 70: parameters left at their defaults
# mechanism: weight is one and bias zero, as constructed
# layer: parameters
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
        return nn.functional.layer_norm(x, x.shape[-1:])
