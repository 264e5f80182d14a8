# control: leaves an input alone that it may write
# problem: inplace
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, state, gradient):
        return 0.9 * state - 0.01 * gradient
