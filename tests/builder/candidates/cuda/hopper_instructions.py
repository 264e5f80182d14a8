import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <cuda_bf16.h>
#include <cuda/barrier>
#include <cuda/ptx>

// Needs sm_90a: wgmma, cluster launch, bulk copies with transaction barriers.
__device__ __forceinline__ void warpgroup_arrive() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ __forceinline__ void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
template <int N>
__device__ __forceinline__ void warpgroup_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(N) : "memory"); }

__global__ void __cluster_dims__(2, 1, 1) bulk_scale(const float* __restrict__ in, float* __restrict__ out, int n, float s) {
    __shared__ alignas(128) float tile[1024];
    using barrier = cuda::barrier<cuda::thread_scope_block>;
    #pragma nv_diag_suppress static_var_with_dynamic_init
    __shared__ barrier bar;
    if (threadIdx.x == 0) init(&bar, blockDim.x);
    __syncthreads();
    const int base = blockIdx.x * 1024;
    barrier::arrival_token token;
    if (threadIdx.x == 0 && base + 1024 <= n) {
        cuda::device::memcpy_async_tx(tile, in + base, cuda::aligned_size_t<16>(sizeof(tile)), bar);
        token = cuda::device::barrier_arrive_tx(bar, 1, sizeof(tile));
    } else {
        token = bar.arrive();
    }
    bar.wait(std::move(token));
    warpgroup_arrive();
    warpgroup_commit();
    warpgroup_wait<0>();
    for (int i = threadIdx.x; i < 1024; i += blockDim.x) {
        const int at = base + i;
        if (at < n) out[at] = (base + 1024 <= n ? tile[i] : in[at]) * s;
    }
}

torch::Tensor bulk(torch::Tensor x, double s) {
    auto xc = x.contiguous();
    auto y = torch::empty_like(xc);
    int n = xc.numel(), blocks = (n + 1023) / 1024;
    blocks += blocks % 2;
    bulk_scale<<<blocks, 128>>>(xc.data_ptr<float>(), y.data_ptr<float>(), n, s);
    cudaError_t e = cudaGetLastError();
    TORCH_CHECK(e == cudaSuccess, cudaGetErrorString(e));
    return y;
}
'''
m = load_inline(name="hopper_instructions", cpp_sources="torch::Tensor bulk(torch::Tensor x, double s);", cuda_sources=src,
                functions=["bulk"], extra_cuda_cflags=["-O3", "-std=c++20"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.bulk(x, 0.5)


def get_inputs():
    return [torch.randn(30, 100, device="cuda")]


def get_init_inputs():
    return []
