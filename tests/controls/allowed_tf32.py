# control: TF32, where the problem allows it
# problem: tf32
# device: cuda

import torch
from torch import nn


class ModelNew(nn.Module):
    def forward(self, a, b):
        torch.backends.cuda.matmul.allow_tf32 = True
        return torch.matmul(b.t(), a.t()).t()
