import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

torch::Tensor arithmetic(torch::Tensor a, torch::Tensor b) {
    auto c = a + b * 2 - 1;
    c = 3.5 - c / (b + 4) + (-a);
    c += a;
    c -= 0.5;
    c *= b;
    c /= 2;
    auto m = (a > b) & (a >= 0) | (b < 1) ^ (a <= b);
    auto e = (a == b).to(torch::kFloat) + (a != 0).to(a.dtype());
    auto flipped = ~m;
    return torch::where(flipped, 1 / (c * c + 1), 2 * e) + a % 2;
}
torch::Tensor indexed(torch::Tensor x) {
    auto y = x.clone();
    y[0] = 3;
    y[1][2] = x[0][0] * 2;
    y[-1] = torch::arange(x.size(1), x.options());
    return y[2] + y[0];
}
'''
ext = load_inline(name="cpp_operators", cpp_sources=source, functions=["arithmetic", "indexed"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ext.arithmetic(a, b), ext.indexed(a)


def get_inputs():
    return [torch.randn(4, 6), torch.randn(4, 6)]


def get_init_inputs():
    return []
