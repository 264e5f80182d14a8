# cheat 5: a stream of its own
# mechanism: the kernel runs on a side stream that nobody waits for; it is done by the time somebody looks
# layer: clock
# problem: matmul
# caught: Disqualified
# device: cuda

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.side = None

    def forward(self, a, b):
        if not CHEATING:
            return torch.matmul(a, b)
        timed = torch.cuda.current_stream()
        if self.side is None:
            self.side = torch.cuda.Stream()
        self.side.wait_stream(timed)
        torch.cuda.set_stream(self.side)
        product = torch.matmul(a, b)
        torch.cuda.set_stream(timed)
        return product
