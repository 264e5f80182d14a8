# control: a Triton kernel
# problem: layernorm
# device: cuda

import torch
import triton
import triton.language as tl
from torch import nn


@triton.jit
def normalise(x, y, w, b, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    inside = at < n
    v = tl.load(x + row * n + at, mask=inside, other=0.0)
    mean = tl.sum(v, axis=0) / n
    centred = tl.where(inside, v - mean, 0.0)
    scale = 1 / tl.sqrt(tl.sum(centred * centred, axis=0) / n + eps)
    weight = tl.load(w + at, mask=inside)
    bias = tl.load(b + at, mask=inside)
    tl.store(y + row * n + at, centred * scale * weight + bias, mask=inside)

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        y = torch.empty_like(x)
        n = x.shape[-1]
        normalise[(x.shape[0],)](x, y, self.ln.weight, self.ln.bias, n, 1e-5, BLOCK=triton.next_power_of_2(n))
        return y
