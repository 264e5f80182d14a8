# control: range reduction by hand
# problem: sine
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        wide = x.double()
        reduced = wide - 2 * torch.pi * torch.round(wide / (2 * torch.pi))
        return torch.sin(reduced).float()
