"""Attention scores that see no later position: minus infinity where they must not look."""

import torch
from torch import nn


class Model(nn.Module):
    def forward(self, q, k):
        scores = torch.matmul(q, k.transpose(-1, -2)) * 0.125
        later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(later, float("-inf"))


def get_inputs():
    return [torch.randn(4, 64, 32), torch.randn(4, 64, 32)]


def get_init_inputs():
    return []
