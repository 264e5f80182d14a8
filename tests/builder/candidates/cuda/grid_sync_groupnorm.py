import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_bf16.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/Exceptions.h>
namespace cg = cooperative_groups;

__global__ void norm_kernel(const __nv_bfloat16* __restrict__ x, __nv_bfloat16* __restrict__ y, float* __restrict__ sums, int n, float eps) {
    cg::grid_group grid = cg::this_grid();
    auto block = cg::this_thread_block();
    auto warp = cg::tiled_partition<32>(block);
    float s = 0.f, q = 0.f;
    for (int i = grid.thread_rank(); i < n / 2; i += grid.size()) {
        float2 v = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162*>(x)[i]);
        s += v.x + v.y;
        q += v.x * v.x + v.y * v.y;
    }
    s = cg::reduce(warp, s, cg::plus<float>());
    q = cg::reduce(warp, q, cg::plus<float>());
    if (warp.thread_rank() == 0) { atomicAdd(sums, s); atomicAdd(sums + 1, q); }
    grid.sync();
    const float mean = sums[0] / n, scale = rsqrtf(sums[1] / n - mean * mean + eps);
    for (int i = grid.thread_rank(); i < n / 2; i += grid.size()) {
        float2 v = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162*>(x)[i]);
        reinterpret_cast<__nv_bfloat162*>(y)[i] = __floats2bfloat162_rn((v.x - mean) * scale, (v.y - mean) * scale);
    }
}

torch::Tensor whole_norm(torch::Tensor x, double eps) {
    TORCH_CHECK(x.scalar_type() == torch::kBFloat16, "expected bfloat16");
    auto y = torch::empty_like(x);
    auto sums = torch::zeros({2}, x.options().dtype(torch::kFloat32));
    int n = static_cast<int>(x.numel());
    float e = static_cast<float>(eps);
    int per_sm = 0;
    AT_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, norm_kernel, 256, 0));
    const int sms = at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
    auto* in = reinterpret_cast<__nv_bfloat16*>(x.data_ptr<at::BFloat16>());
    auto* out = reinterpret_cast<__nv_bfloat16*>(y.data_ptr<at::BFloat16>());
    auto* acc = sums.data_ptr<float>();
    void* args[] = {&in, &out, &acc, &n, &e};
    AT_CUDA_CHECK(cudaLaunchCooperativeKernel((void*)norm_kernel, dim3(per_sm * sms), dim3(256), args, 0, at::cuda::getCurrentCUDAStream().stream()));
    return y;
}
'''
m = load_inline(name="grid_sync_groupnorm", cpp_sources="torch::Tensor whole_norm(torch::Tensor x, double eps);", cuda_sources=src, functions=["whole_norm"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.whole_norm(x.bfloat16(), 1e-5)


def get_inputs():
    return [torch.randn(64, 128, device="cuda")]


def get_init_inputs():
    return []
