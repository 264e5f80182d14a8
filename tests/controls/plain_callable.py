# control: forward through __call__
# problem: layernorm
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def __call__(self, x):
        return self.ln(x)
