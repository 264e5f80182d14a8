"""The largest elements of each row, and a second output."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        values = torch.topk(x, 8, dim=-1).values
        return values, x.mean(dim=-1)


def get_inputs():
    return [torch.randn(32, 2048)]


def get_init_inputs():
    return []
