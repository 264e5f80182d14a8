"""A loss over many elements in bfloat16, as mixed-precision training has it: one rounded number."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, prediction, target):
        return nn.functional.mse_loss(prediction, target)


def get_inputs():
    return [torch.randn(1024, 2048).bfloat16(), torch.randn(1024, 2048).bfloat16()]


def get_init_inputs():
    return []
