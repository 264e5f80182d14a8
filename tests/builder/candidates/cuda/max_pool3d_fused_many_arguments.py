import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = """
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <cfloat>
#include <math.h>

#define CUDA_1D_KERNEL_LOOP(i, n) for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += blockDim.x * gridDim.x)
#define GET_BLOCKS(N) (((N) + 512 - 1) / 512)

__global__ void pool_scale_kernel(const float* input, const float* bias, float* output, int batch_size, int channels, int in_d, int in_h, int in_w,
                                  int out_d, int out_h, int out_w, int kernel_size, int stride, int padding, int dilation, float scale, bool ceil_mode) {
    CUDA_1D_KERNEL_LOOP(index, batch_size * channels * out_d * out_h * out_w) {
        int ow = index % out_w, oh = (index / out_w) % out_h, od = (index / (out_w * out_h)) % out_d;
        int c = (index / (out_w * out_h * out_d)) % channels, b = index / (out_w * out_h * out_d * channels);
        float best = -FLT_MAX;
        for (int kd = 0; kd < kernel_size; kd++)
            for (int kh = 0; kh < kernel_size; kh++)
                for (int kw = 0; kw < kernel_size; kw++) {
                    int d = od * stride - padding + kd * dilation, h = oh * stride - padding + kh * dilation, w = ow * stride - padding + kw * dilation;
                    if (d >= 0 && d < in_d && h >= 0 && h < in_h && w >= 0 && w < in_w)
                        best = max(best, input[((b * channels + c) * in_d + d) * in_h * in_w + h * in_w + w]);
                }
        output[index] = fmaxf(best * scale + bias[c], 0.0f);
    }
}

torch::Tensor max_pool3d_fused(torch::Tensor input, torch::Tensor bias, int kernel_size, int stride, int padding, int dilation, float scale, bool ceil_mode) {
    auto sizes = input.sizes();
    int batch_size = sizes[0], channels = sizes[1], in_d = sizes[2], in_h = sizes[3], in_w = sizes[4];
    int out_d = floor((in_d + 2 * padding - dilation * (kernel_size - 1) - 1) / (float)stride) + 1;
    int out_h = std::floor(static_cast<float>(in_h + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1;
    int out_w = (in_w + 2 * padding - dilation * (kernel_size - 1) - 1) / stride + 1;
    auto options = torch::TensorOptions().dtype(input.dtype()).device(input.device()).layout(torch::kStrided).requires_grad(false);
    auto output = torch::zeros({batch_size, channels, out_d, out_h, out_w}, options);
    if (output.numel() == 0) return output;
    const int threads = 512;
    pool_scale_kernel<<<GET_BLOCKS(output.numel()), threads>>>(input.data_ptr<float>(), bias.data_ptr<float>(), output.data_ptr<float>(), batch_size,
        channels, in_d, in_h, in_w, out_d, out_h, out_w, kernel_size, stride, padding, dilation, scale, ceil_mode);
    cudaError_t err = cudaGetLastError();
    if (err != cudaSuccess) { printf("CUDA error: %s\\n", cudaGetErrorString(err)); throw std::runtime_error(cudaGetErrorString(err)); }
    cudaDeviceSynchronize();
    return output;
}
"""
cpp = "torch::Tensor max_pool3d_fused(torch::Tensor input, torch::Tensor bias, int kernel_size, int stride, int padding, int dilation, float scale, bool ceil_mode);"


class ModelNew(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.op = load_inline(name="max_pool3d_fused_many_arguments", cpp_sources=cpp, cuda_sources=source, functions=["max_pool3d_fused"],
                              verbose=True, extra_cflags=[""], extra_ldflags=[""])

    def forward(self, x):
        return self.op.max_pool3d_fused(x.cuda(), self.bias.cuda(), 3, 2, 1, 1, 0.5, False)


def get_inputs():
    return [torch.randn(2, 4, 8, 8, 8, device="cuda")]


def get_init_inputs():
    return [4]
