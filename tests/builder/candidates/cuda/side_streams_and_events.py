import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ceil_div.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/cuda/CUDACachingAllocator.h>

__constant__ float kWeights[64];

__global__ void polynomial(const float* x, float* y, int n, int degree) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float acc = kWeights[degree];
    for (int d = degree - 1; d >= 0; --d) acc = acc * x[i] + kWeights[d];
    y[i] = acc;
}

torch::Tensor evaluate(torch::Tensor x, torch::Tensor weights) {
    TORCH_CHECK(weights.numel() <= 64, "at most 64 weights");
    c10::cuda::CUDAGuard guard(x.device());
    auto main = c10::cuda::getCurrentCUDAStream(x.device().index());
    auto side = c10::cuda::getStreamFromPool(/*isHighPriority=*/true, x.device().index());
    at::cuda::CUDAEvent ready, done(cudaEventDisableTiming);
    ready.record(main);
    ready.block(side);
    auto w = weights.to(x.device(), torch::kFloat32).contiguous();
    auto y = torch::empty_like(x, torch::MemoryFormat::Contiguous);
    {
        c10::cuda::CUDAStreamGuard on_side(side);
        AT_CUDA_CHECK(cudaMemcpyToSymbolAsync(kWeights, w.data_ptr<float>(), w.numel() * sizeof(float), 0, cudaMemcpyDeviceToDevice, side.stream()));
        const int n = static_cast<int>(x.numel());
        polynomial<<<at::ceil_div(n, 256), 256, 0, side>>>(x.data_ptr<float>(), y.data_ptr<float>(), n, static_cast<int>(w.numel()) - 1);
        C10_CUDA_KERNEL_LAUNCH_CHECK();
        done.record(side);
    }
    x.record_stream(side);
    w.record_stream(side);
    done.block(main);
    main.synchronize();
    return y;
}
'''
m = load_inline(name="side_streams_and_events", cpp_sources="torch::Tensor evaluate(torch::Tensor x, torch::Tensor weights);", cuda_sources=src, functions=["evaluate"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.evaluate(x, torch.tensor([1.0, 2.0, 3.0]))


def get_inputs():
    return [torch.randn(1000, device="cuda")]


def get_init_inputs():
    return []
