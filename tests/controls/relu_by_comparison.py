# control: a product with a mask
# problem: relu
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return x * (x > 0)
