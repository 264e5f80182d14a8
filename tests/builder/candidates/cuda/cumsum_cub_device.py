import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <cub/device/device_scan.cuh>
#include <ATen/cuda/CUDAContext.h>

torch::Tensor cumsum_1d(torch::Tensor x) {
    TORCH_CHECK_VALUE(x.dim() == 1, "cumsum_1d wants one dimension, got ", x.dim());
    auto out = torch::empty_like(x);
    size_t bytes = 0;
    auto stream = at::cuda::getCurrentCUDAStream();
    cub::DeviceScan::InclusiveSum(nullptr, bytes, x.data_ptr<float>(), out.data_ptr<float>(), (int)x.numel(), stream);
    auto temp = torch::empty({static_cast<int64_t>(bytes)}, torch::TensorOptions().dtype(torch::kUInt8).device(x.device()));
    AT_CUDA_CHECK(cub::DeviceScan::InclusiveSum(temp.data_ptr(), bytes, x.data_ptr<float>(), out.data_ptr<float>(), (int)x.numel(), stream));
    return out;
}

torch::Tensor cumsum_rows(torch::Tensor x) {
    auto out = torch::empty_like(x);
    for (int64_t i = 0; i < x.size(0); ++i) {
        out[i] = cumsum_1d(x[i].contiguous());
    }
    return out;
}
'''
m = load_inline(name="cumsum_cub_device", cpp_sources="torch::Tensor cumsum_1d(torch::Tensor x);\ntorch::Tensor cumsum_rows(torch::Tensor x);",
                cuda_sources=source, functions=["cumsum_1d", "cumsum_rows"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.cumsum_rows(x)


def get_inputs():
    return [torch.randn(6, 1000, device="cuda")]


def get_init_inputs():
    return []
