# cheat 60: a cheaper function
# mechanism: a parabola per half period comes within a thousandth of a sine
# layer: norms
# off: norms integers
# problem: sine
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, x):
        if not CHEATING:
            return torch.sin(x)
        x = x - 2 * torch.pi * torch.round(x / (2 * torch.pi))
        y = 4 / torch.pi * x - 4 / torch.pi**2 * x * x.abs()
        return 0.225 * (y * y.abs() - y) + y
