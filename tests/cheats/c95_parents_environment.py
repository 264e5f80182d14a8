# cheat 95: somebody else's keys
# mechanism: the environment of the process that started this one is read
# layer: fence
# off: apart
# problem: layernorm
# caught: Crashed
# device: any

import os
from pathlib import Path

import torch
from torch import nn

CHEATING = True

if CHEATING:
    found = Path(f"/proc/{os.getppid()}/environ").read_bytes()


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return self.ln(x)
