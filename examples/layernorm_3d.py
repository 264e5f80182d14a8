"""LayerNorm over (64, 256, 256) with batch 16, float32: KernelBench level 1, problem 40.

Bytes that must move: 268 MB in, 268 MB out and 34 MB of parameters, 570 MB. Arithmetic is float32
throughout; only 16 rows of 4 M elements, so every row has to be shared among many SMs.
"""

import torch
from torch import nn

PRECISION = "default"


class Model(nn.Module):
    def __init__(self, normalized_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(normalized_shape=normalized_shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln(x)


batch_size = 16
features = 64
dim1 = 256
dim2 = 256


def get_inputs():
    return [torch.rand(batch_size, features, dim1, dim2)]


def get_init_inputs():
    return [(features, dim1, dim2)]
