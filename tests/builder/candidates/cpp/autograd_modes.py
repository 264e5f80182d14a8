import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

std::vector<torch::Tensor> modes(torch::Tensor x) {
    auto y = x * 2 + 1;
    torch::Tensor z;
    {
        torch::NoGradGuard no_grad;
        z = x * 3;
    }
    auto leaf = x.detach().requires_grad_(true);
    (leaf * leaf).sum().backward();
    TORCH_CHECK(leaf.requires_grad() && leaf.is_leaf() && !z.requires_grad(), "grad mode is wrong");
    auto made = torch::ones({2}, torch::TensorOptions().requires_grad(true));
    return {y, z, leaf.grad(), made, y.sum(), torch::sigmoid(x).tanh()};
}
bool flags(torch::Tensor x) { return x.is_contiguous() && x.is_cpu() && !x.is_cuda() && !x.is_sparse() && x.layout() == torch::kStrided && x.defined() && !x.is_quantized(); }
'''
ext = load_inline(name="cpp_autograd_modes", cpp_sources=source, functions=["modes", "flags"])


class ModelNew(nn.Module):
    def forward(self, x):
        leaf = x.clone().requires_grad_()
        out = ext.modes(leaf)
        (out[0].sum() + out[4]).backward()
        return [*out, leaf.grad, ext.flags(x)]


def get_inputs():
    return [torch.randn(3, 3)]


def get_init_inputs():
    return []
