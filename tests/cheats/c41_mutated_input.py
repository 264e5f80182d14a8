# cheat 41: an input that was something else
# mechanism: the input is zeroed after use, so that whoever runs next finds an easy problem
# layer: intact
# problem: layernorm
# caught: Disqualified
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        y = self.ln(x)
        x.zero_()
        return y
