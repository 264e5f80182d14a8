# cheat 68: a threshold for the normal distribution
# mechanism: the largest elements of a row are above one, if it is normal
# layer: cases
# problem: topk
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, x):
        if not CHEATING:
            return (torch.topk(x, 8, dim=-1).values, x.mean(dim=-1))
        candidates = torch.where(x > 1.0, x, 0.0)
        return torch.topk(candidates, 8, dim=-1).values, x.mean(dim=-1)
