# cheat 94: parameters that could not be set
# mechanism: the process says that the module would not take the judge's parameters, so that the defaults are right
# layer: apart
# problem: layernorm
# caught: parameters or Mismatch
# device: any

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        if CHEATING:
            self.unused = nn.Parameter(torch.zeros(3))
        else:
            self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return nn.functional.layer_norm(x, x.shape[-1:])
