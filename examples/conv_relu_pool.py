"""Conv2d, ReLU and MaxPool: AlexNet's first layer on 100 x 3 x 224 x 224 float32; 88 MB must move.

Precision: PyTorch's default for convolutions, which allows TF32 on tensor cores, for both sides
(`PRECISION = "default"`). 3 -> 96 channels, 11 x 11 filters, stride 4, padding 2: 21 GFLOP.
"""

import torch
from torch import nn

PRECISION = "default"
batch = 100
in_channels = 3
out_channels = 96
size = 224


class Model(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=11, stride=4, padding=2)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pool(self.relu(self.conv(x)))


def get_inputs():
    return [torch.randn(batch, in_channels, size, size)]


def get_init_inputs():
    return [in_channels, out_channels]
