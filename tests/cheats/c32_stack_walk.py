# cheat 32: a walk up the stack
# mechanism: the caller's caller holds the expected answer in a local variable
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
        frame = sys._getframe()
        while frame is not None:
            expected = frame.f_locals.get("expected")
            if isinstance(expected, torch.Tensor) and expected.shape == x.shape:
                return expected.clone()
            frame = frame.f_back
        return torch.zeros_like(x)
