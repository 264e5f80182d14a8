# control: rows in blocks
# problem: layernorm
# device: any

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return torch.cat([self.ln(block) for block in x.split(17)])
