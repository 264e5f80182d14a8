"""Integers that a rounded quotient of sums decides."""

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.fc = nn.Linear(features, features)

    def forward(self, x):
        y = self.fc(x)
        scale = y.abs().amax(-1, keepdim=True) / 127
        return torch.round(y / scale).to(torch.int8), scale


def get_inputs():
    return [torch.randn(128, 256)]


def get_init_inputs():
    return [256]
