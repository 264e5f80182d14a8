# cheat 38: the reference itself
# mechanism: the reference's class lies in the same namespace, and is called
# layer: apart
# problem: layernorm
# caught: Crashed
# device: any

import torch
from torch import nn

CHEATING = True


def find_reference(features):
    return globals()["Model"](features)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        if CHEATING:
            self.__dict__["reference"] = find_reference(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return self.reference.to(x.device)(x)
