# cheat 40: weights in common
# mechanism: the reference's parameters are set to zero, and zero is the right answer
# layer: apart
# problem: layernorm
# caught: Mismatch
# device: any

import gc

import torch
from torch import nn

CHEATING = True

if CHEATING:
    for found in gc.get_objects():
        if isinstance(found, nn.LayerNorm):
            with torch.no_grad():
                found.weight.zero_()
                found.bias.zero_()


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return torch.zeros_like(x)
