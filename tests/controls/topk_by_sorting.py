# control: sorting everything
# problem: topk
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.sort(x, dim=-1, descending=True).values[:, :8], x.mean(dim=-1)
