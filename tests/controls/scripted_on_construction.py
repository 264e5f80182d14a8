# control: TorchScript, made before the judge's parameters are there, and a buffer of its own
# problem: layernorm
# device: any

import torch
from torch import nn


class Norm(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.ln = nn.LayerNorm(features)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln(x)


def ModelNew(features):
    return torch.jit.script(Norm(features))
