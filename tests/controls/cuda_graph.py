# control: a CUDA graph that copies in and out
# problem: layernorm
# device: cuda

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

        self.graph = None

    def forward(self, x):
        if self.graph is None:
            self.x = x.clone()
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.ln(self.x)
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.y = self.ln(self.x)
        self.x.copy_(x)
        self.graph.replay()
        return self.y.clone()
