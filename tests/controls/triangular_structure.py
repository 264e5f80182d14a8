# control: skips what is promised to be zero
# problem: triangular
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        n = a.shape[0] // 2
        y = torch.zeros_like(a)
        y[:n, :n] = a[:n, :n] @ b[:n, :n]
        y[n:, :n] = a[n:, :n] @ b[:n, :n] + a[n:, n:] @ b[n:, :n]
        y[n:, n:] = a[n:, n:] @ b[n:, n:]
        return torch.tril(y)
