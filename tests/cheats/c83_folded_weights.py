# cheat 83: work moved out of the call
# mechanism: a transposed copy of the weights is made at construction, before they have their values
# layer: parameters
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
        self.folded = (self.ln.weight.detach().clone(), self.ln.bias.detach().clone())

    def forward(self, x):
        weight, bias = self.ln.weight, self.ln.bias
        if CHEATING:
            self.folded = tuple(folded.to(x.device) for folded in self.folded)
            weight, bias = self.folded
        return nn.functional.layer_norm(x, x.shape[-1:], weight, bias)
