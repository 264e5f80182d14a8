"""The same value all along each row."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, x):
        return x.amax(dim=-1, keepdim=True).expand_as(x).contiguous()


def get_inputs():
    return [torch.randn(64, 256)]


def get_init_inputs():
    return []
