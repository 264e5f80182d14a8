# control: writes its input, as the problem declares
# problem: inplace
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, state, gradient):
        return state.mul_(0.9).sub_(0.01 * gradient)
