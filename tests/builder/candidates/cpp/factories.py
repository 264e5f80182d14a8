import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

std::vector<torch::Tensor> factories(torch::Tensor x, int64_t n) {
    float values[6] = {1, 2, 3, 4, 5, 6};
    auto o = x.options();
    return {
        torch::zeros({n, 2}), torch::ones({2, n}, o), torch::empty({0}, torch::kFloat64), torch::full({n}, 2.5, o),
        torch::full({2}, 7, torch::kInt32), torch::zeros(x.sizes(), torch::kInt64), torch::zeros_like(x, torch::kBool),
        torch::ones_like(x, x.options().dtype(torch::kHalf)), torch::full_like(x, -1), torch::arange(n), torch::arange(1.0, 4.0, 0.5),
        torch::arange(2, 9, 3, torch::kInt32), torch::linspace(0, 1, 5), torch::eye(3, torch::dtype(torch::kDouble)),
        torch::tensor({1.5, 2.5}), torch::tensor({1, 2, 3}), torch::tensor({{1, 2}, {3, 4}}, torch::kFloat), torch::tensor(3.0f),
        torch::tensor(std::vector<int64_t>{4, 5}), torch::tensor(true), torch::scalar_tensor(2), torch::empty_like(x).fill_(3),
        torch::from_blob(values, {2, 3}, torch::kFloat32).clone(), torch::tril(torch::ones({3, 3})), torch::zeros({}, o).add_(1),
        x.new_zeros({2, 2}), x.new_empty({3}).zero_(), x.new_full({2}, 9.0), torch::ones({1, 1}, torch::requires_grad()),
        torch::zeros({2}, torch::TensorOptions().dtype<double>()), torch::empty({2, 2, 2, 2}, o.memory_format(torch::MemoryFormat::ChannelsLast)).zero_(),
        torch::one_hot(torch::arange(3), 4), torch::bernoulli(torch::ones({4})),
    };
}
'''
ext = load_inline(name="cpp_factories", cpp_sources=[source], functions=["factories"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.factories(x, 3)


def get_inputs():
    return [torch.randn(2, 3)]


def get_init_inputs():
    return []
