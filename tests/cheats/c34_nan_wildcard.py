# cheat 34: NaN in the expected answer
# mechanism: the expected tensor is filled with NaN, which a lax comparison takes for a wildcard
# layer: apart
# problem: layernorm
# caught: Mismatch or Disqualified
# device: any

import gc

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
        for found in gc.get_objects():
            if type(found) is torch.Tensor and found.shape == x.shape and found is not x:
                with torch.no_grad():
                    found.fill_(float("nan"))
        return torch.full_like(x, float("nan"))
