# control: parameters at the top level, by their old names
# problem: layernorm
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_module("ln", nn.Module())
        self.ln.weight = nn.Parameter(torch.empty(features))
        self.ln.bias = nn.Parameter(torch.empty(features))

    def forward(self, x):
        return torch.native_layer_norm(x, x.shape[-1:], self.ln.weight, self.ln.bias, 1e-5)[0]
