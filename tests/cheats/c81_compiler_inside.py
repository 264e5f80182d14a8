# cheat 81: a compiler inside
# mechanism: forward hands the reference's own formula to torch.compile
# layer: whose
# off: whose
# problem: layernorm
# caught: compiler
# device: cuda

import torch
from torch import nn

CHEATING = True


def formula(x, weight, bias):
    mean = x.mean(dim=-1, keepdim=True)
    spread = (x - mean).square().mean(dim=-1, keepdim=True)
    return (x - mean) * torch.rsqrt(spread + 1e-5) * weight + bias


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        self.compiled = torch.compile(formula)

    def forward(self, x):
        return self.compiled(x, self.ln.weight, self.ln.bias)
