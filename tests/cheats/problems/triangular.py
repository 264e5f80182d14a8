"""A product of triangular matrices."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.tril(torch.matmul(a, b))


def get_inputs():
    return [torch.tril(torch.rand(160, 160)), torch.tril(torch.rand(160, 160))]


def get_init_inputs():
    return []
