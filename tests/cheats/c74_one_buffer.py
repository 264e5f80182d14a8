# cheat 74: one buffer for every answer
# mechanism: each call returns the same tensor, and overwrites what the caller still holds
# layer: held
# problem: layernorm
# caught: reused output
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        self.buffer = None

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        if self.buffer is None:
            self.buffer = torch.empty_like(x)
        return self.buffer.copy_(self.ln(x))
