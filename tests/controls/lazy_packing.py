# control: weights packed at the first call
# problem: layernorm
# device: any

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

        self.packed = None

    def forward(self, x):
        if self.packed is None:
            self.packed = torch.stack([self.ln.weight, self.ln.bias]).contiguous()
        return nn.functional.layer_norm(x, x.shape[-1:], self.packed[0], self.packed[1])
