import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <algorithm>

__global__ void tanh_persistent(const float* __restrict__ x, float* __restrict__ y, size_t n) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n; i += (size_t)gridDim.x * blockDim.x) y[i] = tanhf(x[i]);
}

torch::Tensor tanh_forward(torch::Tensor x) {
    const cudaDeviceProp* prop = at::cuda::getCurrentDeviceProperties();
    int per_sm = 0;
    C10_CUDA_CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, tanh_persistent, 256, 0));
    const size_t n = static_cast<size_t>(x.numel());
    const int want = static_cast<int>((n + 255) / 256);
    const int grid = std::max(1, std::min(want, per_sm * prop->multiProcessorCount));
    auto y = torch::empty_like(x);
    tanh_persistent<<<grid, 256, 0, at::cuda::getCurrentCUDAStream(x.get_device())>>>(x.data_ptr<float>(), y.data_ptr<float>(), n);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return y;
}
'''
m = load_inline(name="persistent_occupancy", cpp_sources="torch::Tensor tanh_forward(torch::Tensor x);", cuda_sources=src, functions=["tanh_forward"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.tanh_forward(x)


def get_inputs():
    return [torch.randn(100, 100, device="cuda")]


def get_init_inputs():
    return []
