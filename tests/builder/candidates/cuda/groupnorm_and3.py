import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

gn = r'''
#include <torch/extension.h>
#include <ATen/AccumulateType.h>
#include <ATen/OpMathType.h>

template <typename scalar_t, typename acc_t>
__global__ void group_norm(const scalar_t* __restrict__ x, const scalar_t* w, const scalar_t* b, scalar_t* __restrict__ y,
                           int C, int G, int HW, acc_t eps) {
    const int n = blockIdx.x / G, g = blockIdx.x % G, per = C / G, count = per * HW;
    const size_t base = ((size_t)n * C + (size_t)g * per) * HW;
    __shared__ acc_t s1[256], s2[256];
    acc_t a = 0, q = 0;
    for (int i = threadIdx.x; i < count; i += 256) { acc_t v = static_cast<acc_t>(x[base + i]); a += v; q += v * v; }
    s1[threadIdx.x] = a; s2[threadIdx.x] = q; __syncthreads();
    for (int s = 128; s > 0; s >>= 1) {
        if (threadIdx.x < s) { s1[threadIdx.x] += s1[threadIdx.x + s]; s2[threadIdx.x] += s2[threadIdx.x + s]; }
        __syncthreads();
    }
    const acc_t mean = s1[0] / count, rstd = acc_t(1) / sqrt(s2[0] / count - mean * mean + eps);
    for (int i = threadIdx.x; i < count; i += 256) {
        const int c = g * per + i / HW;
        y[base + i] = static_cast<scalar_t>((static_cast<acc_t>(x[base + i]) - mean) * rstd * static_cast<acc_t>(w[c]) + static_cast<acc_t>(b[c]));
    }
}

torch::Tensor groupnorm(torch::Tensor x, torch::Tensor w, torch::Tensor b, int64_t groups, double eps) {
    TORCH_CHECK(x.size(1) % groups == 0, "channels ", x.size(1), " not divisible by groups ", groups);
    auto xc = x.contiguous();
    auto y = at::empty_like(xc);
    const int N = xc.size(0), C = xc.size(1);
    const int HW = xc.numel() / (N * C);
    AT_DISPATCH_FLOATING_TYPES_AND2(at::ScalarType::Half, at::ScalarType::BFloat16, xc.scalar_type(), "groupnorm", [&] {
        using acc_t = at::acc_type<scalar_t, /*is_cuda=*/true>;
        using opmath_t = at::opmath_type<scalar_t>;
        static_assert(sizeof(opmath_t) == sizeof(acc_t), "same width here");
        group_norm<scalar_t, acc_t><<<N * groups, 256>>>(xc.data_ptr<scalar_t>(), w.data_ptr<scalar_t>(), b.data_ptr<scalar_t>(),
                                                         y.data_ptr<scalar_t>(), C, groups, HW, static_cast<acc_t>(eps));
    });
    return y;
}
'''
ext = load_inline(name="groupnorm_and3", cpp_sources="torch::Tensor groupnorm(torch::Tensor x, torch::Tensor w, torch::Tensor b, int64_t groups, double eps);",
                  cuda_sources=gn, functions=["groupnorm"])


class ModelNew(nn.Module):
    def __init__(self, c, g):
        super().__init__()
        self.g = g
        self.w = nn.Parameter(torch.linspace(0.5, 1, c, device="cuda"), requires_grad=False)
        self.b = nn.Parameter(torch.linspace(-1, 1, c, device="cuda"), requires_grad=False)

    def forward(self, x):
        return ext.groupnorm(x, self.w.to(x.dtype), self.b.to(x.dtype), self.g, 1e-5)


def get_inputs():
    return [torch.randn(2, 8, 9, 9, device="cuda")]


def get_init_inputs():
    return [8, 4]
