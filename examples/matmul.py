"""Square matrix product, 4096 x 4096 float32 without TF32: 137 GFLOP; 201 MB must move.

Precision: float32 (`PRECISION = "ieee"`): cuBLAS runs it on the FMA pipes, and an answer must be as
near to the exact product as float32 sums are. How a kernel gets there is its own business.
"""

import torch
from torch import nn

PRECISION = "ieee"
size = 4096


class Model(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.matmul(a, b)


def get_inputs():
    return [torch.randn(size, size), torch.randn(size, size)]


def get_init_inputs():
    return []
