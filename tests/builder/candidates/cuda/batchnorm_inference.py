import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

kernel = r'''
#include <torch/extension.h>
#include <c10/cuda/CUDAGuard.h>

__global__ void bn_infer(const float* __restrict__ x, const float* __restrict__ scale, const float* __restrict__ shift,
                         float* __restrict__ y, int C, int HW, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int c = (i / HW) % C;
    y[i] = fmaf(x[i], scale[c], shift[c]);
}

torch::Tensor batchnorm(torch::Tensor x, torch::Tensor mean, torch::Tensor var,
                        const c10::optional<torch::Tensor>& weight_opt, const c10::optional<torch::Tensor>& bias_opt, double eps) {
    c10::cuda::OptionalCUDAGuard guard(c10::device_of(x));
    auto inv = torch::rsqrt(var + eps);
    auto scale = weight_opt.has_value() ? weight_opt.value() * inv : inv;
    auto shift = -mean * scale;
    if (bias_opt.has_value()) shift = shift + bias_opt.value();
    auto y = torch::empty_like(x);
    const int64_t n = x.numel();
    bn_infer<<<(n + 255) / 256, 256>>>(x.data_ptr<float>(), scale.data_ptr<float>(), shift.data_ptr<float>(), y.data_ptr<float>(),
                                       x.size(1), x.size(2) * x.size(3), n);
    return y;
}
'''
bn = load_inline(
    name="batchnorm_inference",
    cpp_sources="torch::Tensor batchnorm(torch::Tensor x, torch::Tensor mean, torch::Tensor var, const c10::optional<torch::Tensor>& weight_opt, const c10::optional<torch::Tensor>& bias_opt, double eps);",
    cuda_sources=kernel.replace("c10::device_of", "at::device_of"),
    functions=["batchnorm"],
)


class ModelNew(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.register_buffer("mean", torch.linspace(-1, 1, c, device="cuda"))
        self.register_buffer("var", torch.linspace(0.5, 2, c, device="cuda"))
        self.weight = nn.Parameter(torch.ones(c, device="cuda"), requires_grad=False)

    def forward(self, x):
        return bn.batchnorm(x, self.mean, self.var, self.weight, None, 1e-5)


def get_inputs():
    return [torch.randn(2, 6, 8, 8, device="cuda")]


def get_init_inputs():
    return [6]
