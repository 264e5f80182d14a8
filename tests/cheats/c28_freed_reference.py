# cheat 28: the reference's freed memory
# mechanism: torch.empty gets the block in which the reference's answer lay a moment ago
# layer: apart
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
        return torch.empty_like(x)
