import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = '''
#include <torch/extension.h>
#include <cuda_runtime.h>

__global__ void bias_relu_inplace(float* y, const float* bias, int channels, int spatial, int total) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) {
        float v = y[i] + bias[(i / spatial) % channels];
        y[i] = v > 0.f ? v : 0.f;
    }
}

torch::Tensor conv_bias_relu(torch::Tensor x, torch::Tensor w, torch::Tensor b, std::vector<int64_t> stride, std::vector<int64_t> padding) {
    auto y = torch::conv2d(x, w, /*bias=*/{}, stride, padding);
    y = y.contiguous();
    int total = y.numel();
    bias_relu_inplace<<<(total + 255) / 256, 256>>>(y.data_ptr<float>(), b.data_ptr<float>(), y.size(1), y.size(2) * y.size(3), total);
    return torch::max_pool2d(y, {2, 2});
}
'''
ext = load_inline(
    name="conv_bias_relu_library",
    cpp_sources="torch::Tensor conv_bias_relu(torch::Tensor x, torch::Tensor w, torch::Tensor b, std::vector<int64_t> stride, std::vector<int64_t> padding);",
    cuda_sources=source,
    functions=["conv_bias_relu"],
)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1).cuda()

    def forward(self, x):
        with torch.no_grad():
            return ext.conv_bias_relu(x, self.conv.weight, self.conv.bias, [1, 1], (1, 1))


def get_inputs():
    return [torch.randn(2, 3, 16, 16, device="cuda")]


def get_init_inputs():
    return []
