# control: a bfloat16 product with float32 sums
# problem: half
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(256, 128).bfloat16()

    def forward(self, x):
        y = x.float() @ self.linear.weight.float().t() + self.linear.bias.float()
        return y.bfloat16()
