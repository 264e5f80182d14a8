# control: reads columns for rows
# problem: symmetric
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return a.t().contiguous() @ b
