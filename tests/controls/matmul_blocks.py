# control: a product in blocks of the inner dimension
# problem: matmul
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return sum(p @ q for p, q in zip(a.split(128, dim=1), b.split(128, dim=0)))
