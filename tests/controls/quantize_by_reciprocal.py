# control: a product with the reciprocal where the reference divides, so that a tie may break the other way
# problem: quantize
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.fc = nn.Linear(features, features)

    def forward(self, x):
        y = x @ self.fc.weight.t() + self.fc.bias
        peak = y.abs().amax(-1, keepdim=True)
        return torch.round(y * (127 / peak)).to(torch.int8), peak / 127
