"""An update of its first input, declared as such."""

import torch
from torch import nn


MUTABLE_INPUTS = (0,)


class Model(nn.Module):
    def forward(self, state, gradient):
        state.mul_(0.9).add_(gradient, alpha=-0.01)
        return state


def get_inputs():
    return [torch.randn(64, 512), torch.randn(64, 512)]


def get_init_inputs():
    return []
