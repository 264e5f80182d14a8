import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

quant_src = r'''
#include <torch/extension.h>
#include <cuda_runtime.h>

template <typename scalar_t>
__global__ void quantize_rows(const scalar_t* __restrict__ x, int8_t* __restrict__ q, float* __restrict__ scale, int cols) {
    __shared__ float smax[256];
    float m = 0.f;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) m = fmaxf(m, fabsf(static_cast<float>(x[(size_t)blockIdx.x * cols + i])));
    smax[threadIdx.x] = m;
    __syncthreads();
    for (int s = 128; s; s >>= 1) { if (threadIdx.x < s) smax[threadIdx.x] = fmaxf(smax[threadIdx.x], smax[threadIdx.x + s]); __syncthreads(); }
    const float sc = fmaxf(smax[0], 1e-8f) / 127.f;
    if (threadIdx.x == 0) scale[blockIdx.x] = sc;
    for (int i = threadIdx.x; i < cols; i += blockDim.x) {
        int v = __float2int_rn(static_cast<float>(x[(size_t)blockIdx.x * cols + i]) / sc);
        q[(size_t)blockIdx.x * cols + i] = static_cast<int8_t>(max(-127, min(127, v)));
    }
}

std::tuple<at::Tensor, at::Tensor, double, bool> quantize(at::Tensor x) {
    auto xc = x.reshape({-1, x.size(-1)}).contiguous();
    auto q = at::empty(xc.sizes(), xc.options().dtype(at::kChar));
    auto scale = at::empty({xc.size(0)}, xc.options().dtype(at::kFloat));
    AT_DISPATCH_FLOATING_TYPES_AND_HALF(xc.scalar_type(), "quantize", [&]() {
        quantize_rows<scalar_t><<<xc.size(0), 256>>>(xc.data_ptr<scalar_t>(), q.data_ptr<int8_t>(), scale.data_ptr<float>(), xc.size(1));
    });
    const double largest = scale.max().item<double>() * 127;
    return {q.view(x.sizes()), scale, largest, x.is_contiguous()};
}
'''
ext = load_inline(name="quantize_int8_tuple", cpp_sources="std::tuple<at::Tensor, at::Tensor, double, bool> quantize(at::Tensor x);",
                  cuda_sources=quant_src, functions=["quantize"])


class ModelNew(nn.Module):
    def forward(self, x):
        q, scale, largest, _ = ext.quantize(x)
        return q.float() * scale.view(*x.shape[:-1], 1) + largest * 0


def get_inputs():
    return [torch.randn(3, 5, 200, device="cuda")]


def get_init_inputs():
    return []
