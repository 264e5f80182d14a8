import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <ATen/core/List.h>
#include <c10/core/TensorImpl.h>

std::vector<int64_t> products(torch::Tensor x, int k) {
    CAFFE_ENFORCE(x.dim() > 1, "of ", x.dim(), " dimensions");
    if (k == 7) CAFFE_THROW("seven");
    return {c10::size_to_dim_(k, x.sizes()), c10::size_from_dim_(k, x.sizes())};
}

torch::Tensor second(torch::Tensor x, int64_t index) {
    c10::List<at::Tensor> list({x, x + 1, x + 2});
    list.set(0, x * 3);
    return list.get(index) + static_cast<double>(list.vec().size());
}

std::vector<int64_t> devices() {
    torch::cuda::manual_seed(3);
    torch::cuda::manual_seed_all(4);
    return {torch::cuda::is_available(), torch::cuda::cudnn_is_available(),
            static_cast<int64_t>(torch::cuda::device_count())};
}
'''
ext = load_inline(
    name="cpp_odds_of_torch",
    cpp_sources=source,
    functions=["products", "second", "devices"],
    extra_cflags=["-O2"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        return [ext.products(x, k) for k in range(4)], ext.second(x, 1), ext.devices()


def get_inputs():
    return [torch.randn(3, 4, 5)]


def get_init_inputs():
    return []
