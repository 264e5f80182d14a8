# control: a sum of squares, in another order
# problem: scalar
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, prediction, target):
        off = prediction - target
        return torch.dot(off.flatten(), off.flatten()) / off.numel()
