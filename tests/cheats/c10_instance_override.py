# cheat 10: a genuine tensor with a method of its own
# mechanism: type(t) is torch.Tensor, and its detach computes the result
# layer: dense
# off: dense clock
# problem: matmul
# caught: nothing gained
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        shell = torch.empty(a.shape[0], b.shape[1], device=a.device)
        shell.detach = lambda: torch.matmul(a, b)
        return shell
