# control: several outputs, as a list
# problem: topk
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return [torch.topk(x, 8, dim=-1).values, x.sum(dim=-1) / x.shape[-1]]
