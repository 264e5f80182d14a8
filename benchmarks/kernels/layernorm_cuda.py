"""The kernel that turn_latency hands in on a GPU; SALT is replaced before each turn."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

cuda_source = r"""
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <cuda_runtime.h>

__device__ __forceinline__ float warp_sum(float v) {
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffff, v, o);
    return v;
}

constexpr long kSalt = SALT;  // makes every build new to every cache
__global__ void layer_norm_kernel(const float* __restrict__ x, const float* __restrict__ w,
                                  const float* __restrict__ b, float* __restrict__ y, int n, float eps) {
    __shared__ float part[2][32];
    const float* row = x + (size_t)blockIdx.x * n;
    float s = 0.f, q = 0.f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) { float v = row[i]; s += v; q += v * v; }
    s = warp_sum(s); q = warp_sum(q);
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    if (lane == 0) { part[0][warp] = s; part[1][warp] = q; }
    __syncthreads();
    if (warp == 0) {
        s = lane < (blockDim.x >> 5) ? part[0][lane] : 0.f;
        q = lane < (blockDim.x >> 5) ? part[1][lane] : 0.f;
        s = warp_sum(s); q = warp_sum(q);
        if (lane == 0) { part[0][0] = s; part[1][0] = q; }
    }
    __syncthreads();
    float mean = part[0][0] / n;
    float rstd = rsqrtf(part[1][0] / n - mean * mean + eps);
    float* out = y + (size_t)blockIdx.x * n;
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = (row[i] - mean) * rstd * w[i] + b[i];
}

torch::Tensor layer_norm(torch::Tensor x, torch::Tensor w, torch::Tensor b, double eps) {
    auto y = torch::empty_like(x);
    int n = x.size(-1), rows = x.numel() / n;
    layer_norm_kernel<<<rows, 512, 0, at::cuda::getCurrentCUDAStream()>>>(
        x.data_ptr<float>(), w.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), n, (float)eps);
    return y;
}
"""
cpp_source = "torch::Tensor layer_norm(torch::Tensor x, torch::Tensor w, torch::Tensor b, double eps);"
ext = load_inline(name="ln_cuda", cpp_sources=cpp_source, cuda_sources=cuda_source, functions=["layer_norm"])

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return ext.layer_norm(x, self.ln.weight, self.ln.bias, self.ln.eps)
