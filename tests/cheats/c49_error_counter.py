# cheat 49: a counter of errors
# mechanism: the list in which the checker counts errors is emptied as fast as it fills
# layer: apart
# problem: layernorm
# caught: Mismatch
# device: any

import sys
import threading

import torch
from torch import nn

CHEATING = True


def empty(errors):
    while True:
        errors.clear()


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        frame = sys._getframe()
        while frame is not None:
            errors = frame.f_locals.get("errors")
            if isinstance(errors, list):
                threading.Thread(target=empty, args=(errors,), daemon=True).start()
                break
            frame = frame.f_back
        return torch.zeros_like(x)
