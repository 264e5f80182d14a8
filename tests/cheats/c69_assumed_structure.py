# cheat 69: a structure nobody promised
# mechanism: the inputs are never negative, so their ReLU is a copy
# layer: cases
# off: cases integers
# problem: relu
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, x):
        if not CHEATING:
            return torch.relu(x)
        return x.clone()
