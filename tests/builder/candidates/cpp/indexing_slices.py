import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
using namespace torch::indexing;

std::vector<torch::Tensor> slices(torch::Tensor x) {
    auto y = x.clone();
    y.index_put_({0, Slice(1, None)}, 5.0);
    y.index_put_({Slice(), 0}, x.index({Slice(), -1}));
    y.index_put_({x > 1.5}, -7);
    auto ids = torch::tensor({1, 0}, torch::kLong);
    return {
        y, x.index({Slice(None, None, 2)}), x.index({"...", 0}), x.index({Ellipsis, Slice(1, 3)}), x.index({None, 1}),
        x.index({ids}), x.index({ids, ids}), x.index({Slice(), ids}), x.index({x > 0}), x.index_select(0, ids), torch::gather(x, 1, ids.view({2, 1})),
        x.index({torch::tensor(1)}), torch::index_select(x, 1, ids), x.masked_select(x < 0), torch::nonzero(x > 0), x.index({true}),
        x.take(ids), at::embedding(x, ids), x.scatter(1, ids.view({2, 1}), 9.0),
    };
}
'''
ext = load_inline(name="cpp_indexing_slices", cpp_sources=source, functions=["slices"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.slices(x)


def get_inputs():
    return [torch.randn(3, 4) * 2]


def get_init_inputs():
    return []
