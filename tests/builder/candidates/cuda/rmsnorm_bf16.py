import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

SRC = r'''
#include <torch/extension.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

union Pack8 { uint4 raw; __nv_bfloat162 h2[4]; };

template <int THREADS>
__global__ void rmsnorm_bf16(const __nv_bfloat16* __restrict__ x, const __nv_bfloat16* __restrict__ w,
                             __nv_bfloat16* __restrict__ y, int H, float eps) {
    const int row = blockIdx.x;
    const uint4* xv = reinterpret_cast<const uint4*>(x + (size_t)row * H);
    const uint4* wv = reinterpret_cast<const uint4*>(w);
    uint4* yv = reinterpret_cast<uint4*>(y + (size_t)row * H);
    const int n = H / 8;
    float acc = 0.f;
    for (int i = threadIdx.x; i < n; i += THREADS) {
        Pack8 p; p.raw = xv[i];
        #pragma unroll
        for (int k = 0; k < 4; ++k) { float2 f = __bfloat1622float2(p.h2[k]); acc += f.x * f.x + f.y * f.y; }
    }
    __shared__ float red[THREADS / 32];
    for (int o = 16; o; o >>= 1) acc += __shfl_xor_sync(~0u, acc, o);
    if ((threadIdx.x & 31) == 0) red[threadIdx.x >> 5] = acc;
    __syncthreads();
    if (threadIdx.x == 0) { float t = 0; for (int i = 0; i < THREADS / 32; ++i) t += red[i]; red[0] = rsqrtf(t / H + eps); }
    __syncthreads();
    const float r = red[0];
    for (int i = threadIdx.x; i < n; i += THREADS) {
        Pack8 p, g, o; p.raw = xv[i]; g.raw = wv[i];
        #pragma unroll
        for (int k = 0; k < 4; ++k) {
            float2 f = __bfloat1622float2(p.h2[k]), gf = __bfloat1622float2(g.h2[k]);
            o.h2[k] = __float22bfloat162_rn(make_float2(f.x * r * gf.x, f.y * r * gf.y));
        }
        yv[i] = o.raw;
    }
}

torch::Tensor rmsnorm(torch::Tensor x, torch::Tensor w, double eps) {
    TORCH_CHECK(x.scalar_type() == torch::kBFloat16, "expected bf16");
    const at::cuda::CUDAGuard device_guard(x.device());
    auto y = torch::empty_like(x);
    const int H = x.size(-1);
    TORCH_CHECK(H % 8 == 0, "hidden size must be a multiple of 8");
    const auto stream = at::cuda::getCurrentCUDAStream();
    rmsnorm_bf16<256><<<x.numel() / H, 256, 0, stream>>>(
        reinterpret_cast<const __nv_bfloat16*>(x.data_ptr<at::BFloat16>()),
        reinterpret_cast<const __nv_bfloat16*>(w.data_ptr<at::BFloat16>()),
        reinterpret_cast<__nv_bfloat16*>(y.data_ptr<at::BFloat16>()), H, (float)eps);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}
'''
mod = load_inline(name="rmsnorm_bf16", cpp_sources="torch::Tensor rmsnorm(torch::Tensor x, torch::Tensor w, double eps);",
                  cuda_sources=SRC, functions=["rmsnorm"], extra_cuda_cflags=["-O3", "-std=c++17"])


class ModelNew(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden, device="cuda", dtype=torch.bfloat16))

    def forward(self, x):
        return mod.rmsnorm(x, self.weight, 1e-6)


def get_inputs():
    return [torch.randn(32, 1024, device="cuda", dtype=torch.bfloat16)]


def get_init_inputs():
    return [1024]
