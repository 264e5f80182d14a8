import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

# torch::nn is C++ of torch's own: only its own build has it.
source = """
#include <torch/extension.h>
namespace F = torch::nn::functional;
torch::Tensor head(torch::Tensor x) { return F::gelu(F::normalize(x, F::NormalizeFuncOptions().p(2).dim(-1))); }
"""
ext = load_inline(name="cpp_uses_nn_functional", cpp_sources=source, functions=["head"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.head(x)


def get_inputs():
    return [torch.randn(3, 5)]


def get_init_inputs():
    return []
