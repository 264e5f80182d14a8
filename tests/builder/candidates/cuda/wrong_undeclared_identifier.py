import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = """
#include <torch/extension.h>
__global__ void scale_kernel(const float* x, float* y, float s, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] * scale_factor;
}
torch::Tensor scale(torch::Tensor x, double s) {
    auto y = torch::empty_like(x);
    scale_kernel<<<(x.numel() + 255) / 256, 256>>>(x.data_ptr<float>(), y.data_ptr<float>(), s, x.numel());
    return y;
}
"""
m = load_inline(name="wrong_undeclared_identifier", cpp_sources="torch::Tensor scale(torch::Tensor x, double s);", cuda_sources=src, functions=["scale"])
# expected: cuda_source:5
