# control: a gather and an argmax
# problem: integers
# device: any

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, table, index):
        rows = table.index_select(0, index)
        return rows, rows.max(dim=-1).indices
