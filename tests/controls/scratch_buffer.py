# control: scratch memory kept between calls
# problem: layernorm
# device: any

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

        self.scratch = None

    def forward(self, x):
        if self.scratch is None:
            self.scratch = torch.empty_like(x)
        torch.sub(x, x.mean(dim=-1, keepdim=True), out=self.scratch)
        scale = torch.rsqrt(self.scratch.square().mean(dim=-1, keepdim=True) + 1e-5)
        return self.scratch * scale * self.ln.weight + self.ln.bias
