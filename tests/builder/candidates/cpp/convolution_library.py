import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <ATen/ATen.h>

torch::Tensor conv_block(torch::Tensor x, torch::Tensor weight, torch::Tensor bias, torch::Tensor mean, torch::Tensor var,
                         torch::IntArrayRef stride, at::IntArrayRef padding, int64_t groups) {
    auto y = torch::conv2d(x, weight, bias, stride, padding, /*dilation=*/1, groups);
    y = at::batch_norm(y, {}, {}, mean, var, false, 0.1, 1e-5, false);
    y = torch::relu_(y);
    y = at::max_pool2d(y, {2, 2}, {2, 2}, {0, 0}, {1, 1}, false);
    auto pooled = at::adaptive_avg_pool2d(y, {1, 1}).flatten(1);
    return torch::cat({pooled, torch::avg_pool2d(y, 2).flatten(1)}, 1);
}
at::Tensor general(const at::Tensor& x, const at::Tensor& w, std::vector<int64_t> stride, std::vector<int64_t> padding, bool transposed) {
    return at::convolution(x, w, c10::nullopt, stride, padding, {1, 1}, transposed, {0, 0}, 1);
}
std::tuple<torch::Tensor, torch::Tensor> pooled(torch::Tensor x) { return torch::max_pool2d_with_indices(x, {2, 2}); }
torch::Tensor padded(torch::Tensor x) {
    auto p = at::constant_pad_nd(x, {1, 1, 1, 1}, 0.5) + torch::reflection_pad2d(x, {1, 1, 1, 1});
    auto cols = at::im2col(p, {3, 3}, {1, 1}, {0, 0}, {1, 1});
    auto u = x.unfold(2, 3, 1).unfold(3, 3, 1).contiguous().view({x.size(0), x.size(1), -1, 9}).sum(-1);
    auto up = at::upsample_nearest2d(x, {8, 8}) + at::pixel_shuffle(x.repeat({1, 4, 1, 1}), 2).narrow(2, 0, 8).narrow(3, 0, 8);
    return torch::cat({cols.flatten(), u.flatten(), up.flatten(), at::group_norm(x, 1).flatten(), at::instance_norm(x, {}, {}, {}, {}, true, 0.1, 1e-5, false).flatten()});
}
'''
ext = load_inline(name="cpp_convolution_library", cpp_sources=source, functions=["conv_block", "general", "pooled", "padded"])


class ModelNew(nn.Module):
    def forward(self, x, w):
        zeros, ones = torch.zeros(6), torch.ones(6)
        return (ext.conv_block(x, w, zeros, zeros, ones, [1, 1], (1, 1), 1), ext.general(x, w, [2, 2], [0, 0], False),
                ext.general(x, w.transpose(0, 1), [2, 2], [1, 1], True), ext.pooled(x), ext.padded(x[:, :, :4, :4]))


def get_inputs():
    return [torch.randn(2, 3, 8, 8), torch.randn(6, 3, 3, 3)]


def get_init_inputs():
    return []
