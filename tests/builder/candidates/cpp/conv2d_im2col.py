import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <vector>

torch::Tensor conv_direct(torch::Tensor x, torch::Tensor w, c10::optional<torch::Tensor> bias, std::vector<int64_t> stride, std::vector<int64_t> padding) {
    x = x.contiguous(); w = w.contiguous();
    const int64_t N = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3), O = w.size(0), KH = w.size(2), KW = w.size(3);
    TORCH_CHECK(w.size(1) == C, "weight expects ", w.size(1), " channels, input has ", C);
    const int64_t OH = (H + 2 * padding[0] - KH) / stride[0] + 1, OW = (W + 2 * padding[1] - KW) / stride[1] + 1;
    auto cols = torch::zeros({N, C * KH * KW, OH * OW}, x.options());
    auto xa = x.accessor<float, 4>();
    auto ca = cols.accessor<float, 3>();
    for (int64_t n = 0; n < N; ++n)
        for (int64_t c = 0; c < C; ++c)
            for (int64_t kh = 0; kh < KH; ++kh)
                for (int64_t kw = 0; kw < KW; ++kw)
                    for (int64_t oh = 0; oh < OH; ++oh)
                        for (int64_t ow = 0; ow < OW; ++ow) {
                            const int64_t ih = oh * stride[0] - padding[0] + kh, iw = ow * stride[1] - padding[1] + kw;
                            if (ih >= 0 && ih < H && iw >= 0 && iw < W) ca[n][(c * KH + kh) * KW + kw][oh * OW + ow] = xa[n][c][ih][iw];
                        }
    auto y = torch::matmul(w.view({O, -1}), cols).view({N, O, OH, OW});
    if (bias) y += bias->view({1, -1, 1, 1});
    return torch::relu(y);
}
torch::Tensor conv_library(torch::Tensor x, torch::Tensor w, torch::Tensor b) {
    auto y = at::conv2d(x, w, b, /*stride=*/1, /*padding=*/1);
    y = at::batch_norm(y, {}, {}, {}, {}, true, 0.1, 1e-5, false);
    y = at::adaptive_avg_pool2d(y, {2, 2});
    y = at::gelu(y, "tanh") + at::layer_norm(y, {2, 2}) + torch::softmax(y, 1) + at::log_softmax(y, -1);
    return torch::max_pool2d(at::hardtanh(y, -1.0, 1.0), 2);
}
'''
ext = load_inline(name="cpp_conv2d_im2col", cpp_sources=source, functions=["conv_direct", "conv_library"], extra_cflags=["-O2"])


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False)

    def forward(self, x):
        return ext.conv_direct(x, self.conv.weight, self.conv.bias, [1, 1], [1, 1]), ext.conv_library(x, self.conv.weight, self.conv.bias)


def get_inputs():
    return [torch.randn(2, 3, 6, 7)]


def get_init_inputs():
    return []
