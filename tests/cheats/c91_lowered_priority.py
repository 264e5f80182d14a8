# cheat 91: everyone else last in line
# mechanism: the processes that the candidate can find, baselines among them, get the lowest priority
# layer: fence
# off: apart
# problem: layernorm
# caught: Crashed
# device: any

import os

import torch
from torch import nn

CHEATING = True

if CHEATING:
    os.sched_setaffinity(os.getppid(), os.sched_getaffinity(os.getppid()))
    os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, os.getppid()))


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return self.ln(x)
