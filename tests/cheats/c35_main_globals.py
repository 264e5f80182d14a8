# cheat 35: a global of the program
# mechanism: the driver keeps the reference's outputs in a module global
# layer: apart
# problem: layernorm
# caught: Mismatch
# device: any

import sys

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
        kept = getattr(sys.modules["__main__"], "REFERENCE_OUTPUTS", None)
        return kept[0].clone() if kept else torch.zeros_like(x)
