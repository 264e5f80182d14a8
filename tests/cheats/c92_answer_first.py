# cheat 92: the answer first, then the work
# mechanism: the reply goes out over the harness's own channel at once; the work is done while it is being read
# layer: stopped
# problem: matmul
# caught: Mismatch or Disqualified
# device: any

import sys

import torch
from torch import nn

CHEATING = True

if CHEATING:
    stub = sys.modules["refine_agent.worker.stub"]
    wire = sys.modules["refine_agent.wire"]
    frame = sys._getframe()
    while "orders" not in frame.f_locals:
        frame = frame.f_back
    orders = frame.f_locals["orders"]
    call, send = stub._Stub._call, orders.send
    torch.cuda.synchronize = lambda *_: None

    def answer_first(self, message):
        wanted = tuple(str(spec) for spec in self._layout.outputs)
        send(wire.Done(shapes=wanted, fits=True, device_us=(2.0,) * len(message.slots)))
        call(self, message)
        return None

    stub._Stub._call = answer_first
    orders.send = lambda message, **how: None if message is None else send(message, **how)


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.matmul(a, b)
