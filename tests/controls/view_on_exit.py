# control: a result that is a view into something larger
# problem: layernorm
# device: any

import torch
from torch import nn

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        room = torch.empty(x.shape[0], 2 * x.shape[1], device=x.device)
        room[:, : x.shape[1]] = self.ln(x)
        return room[:, : x.shape[1]]
