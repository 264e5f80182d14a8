# control: the product of the transposes
# problem: matmul
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return (b.t() @ a.t()).t()
