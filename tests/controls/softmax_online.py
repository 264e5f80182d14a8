# control: a softmax in two halves
# problem: softmax
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        left, right = x.chunk(2, dim=-1)
        m, n = left.amax(-1, keepdim=True), right.amax(-1, keepdim=True)
        top = torch.maximum(m, n)
        p, q = torch.exp(left - m), torch.exp(right - n)
        total = p.sum(-1, keepdim=True) * torch.exp(m - top) + q.sum(-1, keepdim=True) * torch.exp(n - top)
        return torch.cat([p * torch.exp(m - top), q * torch.exp(n - top)], dim=-1) / total
