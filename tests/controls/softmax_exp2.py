# control: a softmax in powers of two
# problem: softmax
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        scaled = (x - x.amax(-1, keepdim=True)) * 1.4426950408889634
        power = torch.exp2(scaled)
        return power / power.sum(-1, keepdim=True)
