"""A product for which TF32 is allowed."""

import torch
from torch import nn


PRECISION = "tf32"


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.randn(512, 512), torch.randn(512, 512)]


def get_init_inputs():
    return []
