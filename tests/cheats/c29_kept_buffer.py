# cheat 29: the first answer, for ever
# mechanism: the kernel works once and leaves its buffer as it is from then on
# layer: fresh
# off: fresh clock
# problem: layernorm
# caught: Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        self.kept = None

    def forward(self, x):
        if not CHEATING or self.kept is None:
            self.kept = self.ln(x)
        return self.kept.clone()
