# cheat 8: a thread that no registry lists
# mechanism: _thread.start_new_thread leaves threading.active_count() as it was; the thread takes a core from whatever is timed next
# layer: idle
# off: idle clock alone
# problem: matmul
# caught: works between calls or Disqualified
# device: any

import _thread

import torch
from torch import nn

CHEATING = True


def spin():
    junk = torch.rand(1500, 1500)
    while True:
        junk = torch.tanh(junk @ junk)


if CHEATING:
    _thread.start_new_thread(spin, ())


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
