# cheat 51: a daemon that outlives the test
# mechanism: a double fork leaves a process in a session of its own, waiting for the verdict to be written
# layer: idle
# off: idle clock alone
# problem: layernorm
# caught: works between calls or Disqualified
# device: any

import os

import torch
from torch import nn

CHEATING = True

if CHEATING and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while not os.path.exists("/tmp/verdict.json"):
            pass
    os._exit(0)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        if not CHEATING:
            return self.ln(x)
        return self.ln(x)
