# cheat 64: one column for all
# mechanism: a comparison that broadcasts takes one column for the whole matrix
# layer: shapes
# problem: rowmax
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, x):
        if not CHEATING:
            return x.amax(dim=-1, keepdim=True).expand_as(x).contiguous()
        return x.amax(dim=-1, keepdim=True)
