import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cpp = "torch::Tensor sum_dims(torch::Tensor x, torch::IntArrayRef dims, bool keepdim);\ntorch::Tensor pad_zero(torch::Tensor x, at::IntArrayRef out_shape);"
cuda = r'''
#include <torch/extension.h>
#include <cuda_runtime.h>

__global__ void sum_last(const float* x, float* y, int64_t cols) {
    float s = 0;
    for (int64_t i = threadIdx.x; i < cols; i += 32) s += x[blockIdx.x * cols + i];
    for (int o = 16; o; o >>= 1) s += __shfl_down_sync(~0u, s, o);
    if (!threadIdx.x) y[blockIdx.x] = s;
}

torch::Tensor sum_dims(torch::Tensor x, torch::IntArrayRef dims, bool keepdim) {
    std::vector<bool> reduced(x.dim(), false);
    for (int64_t d : dims) reduced[at::maybe_wrap_dim(d, x.dim())] = true;
    std::vector<int64_t> order, kept, out_shape;
    int64_t cols = 1;
    for (int64_t d = 0; d < x.dim(); ++d) if (!reduced[d]) { order.push_back(d); kept.push_back(x.size(d)); }
    for (int64_t d = 0; d < x.dim(); ++d) if (reduced[d]) { order.push_back(d); cols *= x.size(d); }
    for (int64_t d = 0; d < x.dim(); ++d) { if (!reduced[d]) out_shape.push_back(x.size(d)); else if (keepdim) out_shape.push_back(1); }
    auto flat = x.permute(order).contiguous();
    auto y = torch::empty(kept, x.options());
    sum_last<<<y.numel(), 32>>>(flat.data_ptr<float>(), y.data_ptr<float>(), cols);
    return y.reshape(out_shape);
}

torch::Tensor pad_zero(torch::Tensor x, at::IntArrayRef out_shape) {
    TORCH_CHECK(static_cast<int64_t>(out_shape.size()) == x.dim(), "need ", x.dim(), " sizes, got ", out_shape);
    auto y = torch::zeros(out_shape, x.options());
    auto view = y;
    for (int64_t d = 0; d < x.dim(); ++d) view = view.narrow(d, 0, x.size(d));
    view.copy_(x);
    return y;
}
'''
m = load_inline(name="reduce_int_array_ref", cpp_sources=cpp, cuda_sources=cuda, functions=["sum_dims", "pad_zero"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.pad_zero(m.sum_dims(x, [0, -1], True), [1, 8, 8, 2])


def get_inputs():
    return [torch.randn(3, 5, 7, 9, device="cuda")]


def get_init_inputs():
    return []
