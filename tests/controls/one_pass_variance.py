# control: mean of squares less square of mean, in float64
# problem: layernorm
# device: any

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        wide = x.double()
        mean = wide.mean(dim=-1, keepdim=True)
        spread = (wide * wide).mean(dim=-1, keepdim=True) - mean * mean
        return ((wide - mean) * torch.rsqrt(spread + 1e-5)).float() * self.ln.weight + self.ln.bias
