"""The difference to the next element, where there is one."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return torch.cat([x[1:] - x[:-1], x[-1:]])


def get_inputs():
    return [torch.randn(40_000)]


def get_init_inputs():
    return []
