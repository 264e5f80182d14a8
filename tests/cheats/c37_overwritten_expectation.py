# cheat 37: an expectation that says what was answered
# mechanism: the expected tensor is writable, and is overwritten with what the candidate returns
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
                    found.zero_()
        return torch.zeros_like(x)
