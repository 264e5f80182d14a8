# cheat 61: a hundredth left out
# mechanism: the last 0.9 % of the elements are never computed
# layer: rows
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
        y = torch.relu(x)
        y.view(-1)[-(y.numel() * 9 // 1000) :] = 0
        return y
