# control: a CUDA graph for each address, replayed on new values
# problem: layernorm
# device: cuda

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

        self.graphs = {}

    def forward(self, x):
        key = x.data_ptr()
        if key not in self.graphs:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.ln(x)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                y = self.ln(x)
            self.graphs[key] = (graph, y, x)
        graph, y, _ = self.graphs[key]
        graph.replay()
        return y.clone()
