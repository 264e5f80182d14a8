# control: nothing to do for one of the outputs
# problem: empty
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x, y):
        return x.clamp(min=0) + 1, y.sum(-1)
