# control: sums in float64
# problem: layernorm
# device: any

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return nn.functional.layer_norm(
            x.double(), x.shape[-1:], self.ln.weight.double(), self.ln.bias.double()
        ).float()
