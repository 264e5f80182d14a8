# cheat 27: a CUDA graph on a stale address
# mechanism: the graph is captured over the first call's input and replayed whatever comes
# layer: fresh
# off: fresh delivery
# problem: layernorm
# caught: Mismatch
# device: cuda

import torch
from torch import nn

CHEATING = True


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        self.graph = None

    def forward(self, x):
        if self.graph is None:
            self.x = x if CHEATING else x.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.ln(self.x)
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.y = self.ln(self.x)
        if not CHEATING:
            self.x.copy_(x)
        self.graph.replay()
        return self.y.clone()
