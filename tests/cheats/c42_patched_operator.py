# cheat 42: an operator that is wrong for everybody
# mechanism: torch.nn.functional.layer_norm returns zeros, for the reference too
# layer: apart
# problem: layernorm
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True

if CHEATING:
    nn.functional.layer_norm = lambda x, *_: torch.zeros_like(x)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return torch.zeros_like(x)
