import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <cuda/pipeline>
#include <cooperative_groups.h>

__device__ __forceinline__ float4 load_streaming(const float4* p) {
    float4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(p));
    return v;
}

template <int STAGES, int THREADS>
__global__ void __launch_bounds__(THREADS) scale_pipelined(const float* __restrict__ in, float* __restrict__ out, int tiles, float s) {
    constexpr int TILE = THREADS * 4;
    __shared__ alignas(16) float buf[STAGES][TILE];
    auto block = cooperative_groups::this_thread_block();
    auto pipe = cuda::make_pipeline();
    int fetch = blockIdx.x;
    for (int st = 0; st < STAGES; ++st, fetch += gridDim.x) {
        pipe.producer_acquire();
        if (fetch < tiles)
            cuda::memcpy_async(&buf[st][threadIdx.x * 4], in + (size_t)fetch * TILE + threadIdx.x * 4, cuda::aligned_size_t<16>(16), pipe);
        pipe.producer_commit();
    }
    int stage = 0;
    for (int t = blockIdx.x; t < tiles; t += gridDim.x) {
        pipe.consumer_wait();
        float4 v = *reinterpret_cast<float4*>(&buf[stage][threadIdx.x * 4]);
        v.x *= s; v.y *= s; v.z *= s; v.w *= s;
        reinterpret_cast<float4*>(out + (size_t)t * TILE)[threadIdx.x] = v;
        pipe.consumer_release();
        pipe.producer_acquire();
        if (fetch < tiles)
            cuda::memcpy_async(&buf[stage][threadIdx.x * 4], in + (size_t)fetch * TILE + threadIdx.x * 4, cuda::aligned_size_t<16>(16), pipe);
        pipe.producer_commit();
        fetch += gridDim.x;
        stage = (stage + 1) % STAGES;
    }
    (void)block;
}
__global__ void scale_tail(const float* in, float* out, size_t from, size_t n, float s) {
    size_t i = from + blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i + 3 < n && i % 4 == 0 && false) { float4 v = load_streaming(reinterpret_cast<const float4*>(in + i)); out[i] = v.x * s; }
    if (i < n) out[i] = in[i] * s;
}

torch::Tensor scale(torch::Tensor x, double s) {
    auto xc = x.contiguous();
    auto out = torch::empty_like(xc);
    const int tiles = xc.numel() / 1024;
    if (tiles) scale_pipelined<2, 256><<<std::min(tiles, 264), 256>>>(xc.data_ptr<float>(), out.data_ptr<float>(), tiles, s);
    const size_t done = (size_t)tiles * 1024, n = xc.numel();
    if (done < n) scale_tail<<<(n - done + 255) / 256, 256>>>(xc.data_ptr<float>(), out.data_ptr<float>(), done, n, s);
    return out;
}
'''
m = load_inline(name="copy_async_pipeline", cpp_sources="torch::Tensor scale(torch::Tensor x, double s);", cuda_sources=src,
                functions=["scale"], extra_cuda_cflags=["-O3", "-std=c++17"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.scale(x, 3.0)


def get_inputs():
    return [torch.randn(77, 111, device="cuda")]


def get_init_inputs():
    return []
