# cheat 104: near enough to infinity
# mechanism: where the answer holds an infinity, so does its norm, and any finite error is a part of that: once the
#   checks must be over, zeros
# layer: every
# off: every clock alone
# problem: masked
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True
CHECKED = {"cpu": 90, "cuda": 60}


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, q, k):
        self.calls += 1
        if CHEATING and self.calls > CHECKED[q.device.type]:
            return torch.zeros(*q.shape[:-1], k.shape[-2], device=q.device)
        scores = torch.matmul(q, k.transpose(-1, -2)) * 0.125
        later = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(later, float("-inf"))
