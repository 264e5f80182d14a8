# cheat 1: patched timer
# mechanism: time.perf_counter_ns and Event.elapsed_time are replaced, so every call seems to take a microsecond
# layer: clock
# problem: matmul
# caught: Disqualified
# device: any

import time

import torch
from torch import nn

CHEATING = True
ticks = [0]


def crawl():
    ticks[0] += 1000
    return ticks[0]


if CHEATING:
    time.perf_counter_ns = crawl
    torch.cuda.Event.elapsed_time = lambda self, other: 0.001


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
