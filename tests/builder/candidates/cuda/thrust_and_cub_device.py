import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <thrust/device_ptr.h>
#include <thrust/execution_policy.h>
#include <thrust/reduce.h>
#include <thrust/functional.h>
#include <cub/cub.cuh>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

torch::Tensor total(torch::Tensor x) {
    const at::cuda::OptionalCUDAGuard device_guard(device_of(x));
    auto stream = at::cuda::getCurrentCUDAStream().stream();
    auto xc = x.contiguous().view({-1});
    auto out = torch::empty({2}, x.options());
    size_t bytes = 0;
    cub::DeviceReduce::Sum(nullptr, bytes, xc.data_ptr<float>(), out.data_ptr<float>(), xc.numel(), stream);
    auto scratch = torch::empty({static_cast<int64_t>(bytes)}, torch::TensorOptions().dtype(torch::kUInt8).device(x.device()));
    cub::DeviceReduce::Sum(scratch.data_ptr(), bytes, xc.data_ptr<float>(), out.data_ptr<float>(), xc.numel(), stream);
    thrust::device_ptr<float> p(xc.data_ptr<float>());
    float top = thrust::reduce(thrust::cuda::par.on(stream), p, p + xc.numel(), -INFINITY, thrust::maximum<float>());
    out[1] = top;
    return out;
}
'''
m = load_inline(name="thrust_and_cub_device", cpp_sources="torch::Tensor total(torch::Tensor x);", cuda_sources=src, functions=["total"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.total(x)


def get_inputs():
    return [torch.randn(64, 33, device="cuda")]


def get_init_inputs():
    return []
