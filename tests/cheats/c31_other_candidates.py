# cheat 31: what others handed in
# mechanism: the shared cache of built extensions is searched for other people's sources
# layer: fence
# problem: layernorm
# caught: Crashed
# device: any

import os
from pathlib import Path

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

CHEATING = True
SOURCE = "#include <torch/extension.h>\ntorch::Tensor same(torch::Tensor x) { return x; }"
extension = load_inline(name="contaminated", cpp_sources=SOURCE, functions=["same"])

if CHEATING:
    entries = Path(extension.__file__).parents[2]
    found = [name for folder in os.listdir(entries) for name in os.listdir(entries / folder)]
    assert found


class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return self.ln(extension.same(x))
