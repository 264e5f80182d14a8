# cheat 59: a lower precision
# mechanism: float32 operands are rounded to bfloat16
# layer: norms
# off: norms cases integers nearly
# problem: matmul
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        return torch.matmul(a.bfloat16(), b.bfloat16()).float()
