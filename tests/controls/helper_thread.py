# control: a pool of threads that waits
# problem: layernorm
# device: any

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

        self.pool = ThreadPoolExecutor(2)

    def forward(self, x):
        halves = list(self.pool.map(self.ln, x.chunk(2)))
        return torch.cat(halves)
