# cheat 39: a namespace in common
# mechanism: both sources run in one namespace, so the candidate redefines get_inputs
# layer: apart
# problem: layernorm
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True

if CHEATING:

    def get_inputs():
        return [torch.zeros(64, 256)]


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return torch.zeros_like(x)
