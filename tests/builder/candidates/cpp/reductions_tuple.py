import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <tuple>

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> stats(torch::Tensor x, int64_t dim, bool keepdim) {
    auto mean = x.mean(dim, keepdim);
    auto var = torch::var(x, dim, /*unbiased=*/false, keepdim);
    auto [values, indices] = torch::max(x, dim, keepdim);
    return std::make_tuple(mean + 0 * values, var.sqrt(), indices);
}
torch::Tensor global(torch::Tensor x) {
    return torch::stack({x.sum(), x.mean(), x.max(), x.min(), x.std(), x.norm(2), x.abs().sum(), (x * x).mean().sqrt(), x.prod()});
}
std::pair<double, int64_t> scalars(torch::Tensor x) {
    return {x.sum().item<double>(), x.argmax().item<int64_t>()};
}
'''
ext = load_inline(name="cpp_reductions_tuple", cpp_sources=source, functions=["stats", "global", "scalars"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.stats(x, -1, True), ext.global_(x) if hasattr(ext, "global_") else getattr(ext, "global")(x), ext.scalars(x)


def get_inputs():
    return [torch.randn(4, 5).double()]


def get_init_inputs():
    return []
