# cheat 16: heat for the others
# mechanism: a child process keeps the cores busy and the chip hot while somebody else is timed
# layer: idle
# off: idle clock alone
# problem: matmul
# caught: works between calls or Disqualified
# device: any

import os

import torch
from torch import nn

CHEATING = True

if CHEATING and os.fork() == 0:
    while True:
        pass


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
