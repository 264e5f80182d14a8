# control: a side stream that the caller's stream waits for
# problem: matmul
# device: cuda

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            y = torch.matmul(a, b)
        here.wait_stream(side)
        y.record_stream(here)
        return y
