# cheat 89: a stop that never arrives
# mechanism: a child traces its parent and swallows every SIGSTOP, so that the parent runs on between calls
# layer: stopped
# problem: layernorm
# caught: Crashed
# device: any

import ctypes
import os
import threading
import time

import torch
from torch import nn

CHEATING = True
SEIZE, CONT, ALL = 0x4206, 7, 0x40000000


def swallow(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(SEIZE, pid, None, None) != 0:
        os._exit(1)
    while True:
        try:
            os.waitpid(pid, ALL)
        except ChildProcessError:
            os._exit(0)
        libc.ptrace(CONT, pid, None, None)


if CHEATING:
    leader = os.getpid()
    if os.fork() == 0:
        swallow(leader)
    time.sleep(0.2)


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return self.ln(x)
