# cheat 56: zeros where everything is small
# mechanism: each of 65536 probabilities is below the tolerance, and so is zero
# layer: norms
# off: norms cases nearly
# problem: softmax
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, x):
        if not CHEATING:
            return torch.softmax(x, dim=-1)
        return torch.zeros_like(x)
