import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.cpp_extension import load_inline

conv_source = """
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <c10/cuda/CUDAGuard.h>
#include <vector>

__global__ void swish_bias_kernel(float* __restrict__ data, const float* __restrict__ bias, const int channels, const int spatial, const long total) {
    const long idx = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (idx >= total) return;
    const float v = data[idx] + __ldg(&bias[(idx / spatial) % channels]);
    data[idx] = __fdividef(v, 1.0f + __expf(-v));
}

std::vector<torch::Tensor> conv_swish(torch::Tensor x, torch::Tensor weight, torch::Tensor bias, std::vector<int64_t> stride, torch::IntArrayRef padding,
                                      std::vector<long> output_padding, int64_t groups, bool transposed) {
    const at::cuda::OptionalCUDAGuard device_guard(at::device_of(x));
    TORCH_CHECK(x.scalar_type() == torch::kFloat32, "x must be float32");
    if (!x.is_contiguous()) x = x.contiguous();
    auto y = transposed ? at::conv_transpose2d(x, weight, {}, stride, padding, output_padding, groups, {1, 1})
                        : torch::conv2d(x, weight, /*bias=*/torch::Tensor(), stride, padding, 1, groups);
    y = y.contiguous(at::MemoryFormat::Contiguous);
    auto options = y.options();
    const int channels = static_cast<int>(y.size(1)), spatial = static_cast<int>(y.stride(1));
    const long total = y.numel();
    swish_bias_kernel<<<(total + 255) / 256, 256>>>(y.data_ptr<float>(), bias.data_ptr<float>(), channels, spatial, total);
    auto mean = y.mean({2, 3}, true).squeeze(-1).squeeze(-1), peak = std::get<0>(y.flatten(2).max(2));
    auto norm = torch::zeros({y.size(0)}, options).add_(y.pow(2).sum(c10::IntArrayRef{1, 2, 3})).sqrt_();
    return {y, mean, peak, norm.unsqueeze(1).expand({-1, channels}).clone(), torch::arange(channels, options.dtype(torch::kLong))};
}
"""
conv_cpp = "std::vector<torch::Tensor> conv_swish(torch::Tensor x, torch::Tensor weight, torch::Tensor bias, std::vector<int64_t> stride, torch::IntArrayRef padding, std::vector<long> output_padding, int64_t groups, bool transposed);"
conv = load_inline(name="conv_transpose_weights_extracted", cpp_sources=conv_cpp, cuda_sources=conv_source, functions=["conv_swish"], verbose=False, extra_cflags=["-O2"], extra_ldflags=["-lm"])


class ModelNew(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.up = nn.Conv2d(i, o, 3), nn.ConvTranspose2d(i, o, 4, 2)

    def forward(self, x):
        return (conv.conv_swish(x, self.conv.weight.data, self.conv.bias, [1, 1], [1, 1], [0, 0], 1, False),
                conv.conv_swish(x, self.up.weight, self.up.bias, list(self.up.stride), (1, 1), [0, 0], 1, True))


def get_inputs():
    return [torch.randn(2, 3, 8, 8, device="cuda")]


def get_init_inputs():
    return [3, 5]
