"""A matrix product: long enough for its time to matter, linear in both operands."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)


def get_inputs():
    return [torch.rand(256, 512), torch.rand(512, 384)]


def get_init_inputs():
    return []
