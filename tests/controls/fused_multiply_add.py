# control: addcmul
# problem: blend
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        return torch.add(a, b, alpha=1e-3)
