import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <string>

__global__ void hist_kernel(const float* x, int* bins, int nbins, float lo, float hi, int n) {
    extern __shared__ int local[];
    for (int i = threadIdx.x; i < nbins; i += blockDim.x) local[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        int b = (int)((x[i] - lo) / (hi - lo) * nbins);
        if (b >= 0 && b < nbins) atomicAdd(&local[b], 1);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < nbins; i += blockDim.x) if (local[i]) atomicAdd(&bins[i], local[i]);
}

void histogram_(torch::Tensor& bins, const torch::Tensor& x, std::pair<double, double> range, const std::string& mode) {
    if (mode == "zero") bins.zero_();
    else if (mode == "one") bins.fill_(1);
    else TORCH_CHECK(mode == "keep", "unknown mode '", mode, "'");
    TORCH_CHECK(bins.scalar_type() == torch::kInt32, "bins must be int32");
    auto xc = x.contiguous();
    hist_kernel<<<32, 256, bins.numel() * sizeof(int)>>>(xc.data_ptr<float>(), bins.data_ptr<int>(), bins.numel(), range.first, range.second, xc.numel());
}
'''
h = load_inline(name="histogram_inplace_void",
                cpp_sources="#include <string>\nvoid histogram_(torch::Tensor& bins, const torch::Tensor& x, std::pair<double, double> range, const std::string& mode);",
                cuda_sources=src, functions=["histogram_"])


class ModelNew(nn.Module):
    def forward(self, x):
        bins = torch.full((16,), 3, device="cuda", dtype=torch.int32)
        h.histogram_(bins, x, (-3.0, 3.0), "zero")
        return bins


def get_inputs():
    return [torch.randn(100, 40, device="cuda")]


def get_init_inputs():
    return []
