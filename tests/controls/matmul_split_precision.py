# control: a product of high and low parts
# problem: matmul
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        high_a, high_b = a.bfloat16().float(), b.bfloat16().float()
        low_a, low_b = a - high_a, b - high_b
        return high_a @ high_b + (high_a @ low_b + low_a @ high_b) + low_a @ low_b
