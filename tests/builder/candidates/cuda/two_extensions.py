import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

instance_norm = load_inline(
    name="two_extensions_norm",
    cpp_sources="torch::Tensor instance_norm(torch::Tensor x, double eps);",
    cuda_sources="""
#include <torch/extension.h>
__global__ void inorm(const float* x, float* y, int hw, float eps) {
    const float* p = x + (size_t)blockIdx.x * hw;
    float* q = y + (size_t)blockIdx.x * hw;
    __shared__ float mean, rstd;
    if (threadIdx.x == 0) {
        float s = 0.f, s2 = 0.f;
        for (int i = 0; i < hw; i++) { s += p[i]; s2 += p[i] * p[i]; }
        mean = s / hw;
        rstd = rsqrtf(s2 / hw - mean * mean + eps);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < hw; i += blockDim.x) q[i] = (p[i] - mean) * rstd;
}
torch::Tensor instance_norm(torch::Tensor x, double eps) {
    auto y = torch::empty_like(x);
    inorm<<<x.size(0) * x.size(1), 128>>>(x.data_ptr<float>(), y.data_ptr<float>(), x.size(2) * x.size(3), eps);
    return y;
}
""",
    functions=["instance_norm"],
)
scale_add = load_inline(
    name="two_extensions_scale",
    cpp_sources="torch::Tensor scale_add(torch::Tensor x, torch::Tensor y, float alpha);",
    cuda_sources="""
#include <torch/extension.h>
__global__ void k(const float* x, const float* y, float* z, float a, int n) {
    int i = threadIdx.x + blockIdx.x * blockDim.x;
    if (i < n) z[i] = a * x[i] + y[i];
}
torch::Tensor scale_add(torch::Tensor x, torch::Tensor y, float alpha) {
    if (!x.is_contiguous()) x = x.contiguous();
    if (!y.is_contiguous()) y = y.contiguous();
    auto z = torch::zeros(x.sizes(), x.options());
    int n = static_cast<int>(x.numel());
    k<<<(n + 511) / 512, 512>>>(x.data_ptr<float>(), y.data_ptr<float>(), z.data_ptr<float>(), alpha, n);
    return z;
}
""",
    functions=["scale_add"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        return scale_add.scale_add(instance_norm.instance_norm(x, 1e-5), x, 0.5)


def get_inputs():
    return [torch.randn(2, 3, 10, 10, device="cuda")]


def get_init_inputs():
    return []
