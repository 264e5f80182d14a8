# cheat 62: an output nobody looks at
# mechanism: the first of two outputs is right, the second is zeros
# layer: apart
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
        values = torch.topk(x, 8, dim=-1).values
        return values, torch.zeros(x.shape[0], device=x.device)
