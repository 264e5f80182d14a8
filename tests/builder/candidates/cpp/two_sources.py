import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

helpers = """
#include <torch/extension.h>
#define CHECK_SAME(a, b) TORCH_CHECK((a).sizes() == (b).sizes(), #a " and " #b " differ: ", (a).sizes(), " vs ", (b).sizes())
static inline int64_t ceil_to(int64_t n, int64_t m) { return (n + m - 1) / m * m; }
namespace detail_ns { struct Config { int64_t tile = 8; double scale{2.0}; }; }
"""
body = """
torch::Tensor padded_add(torch::Tensor a, torch::Tensor b) {
    CHECK_SAME(a, b);
    detail_ns::Config config;
    auto n = ceil_to(a.size(-1), config.tile);
    auto out = at::constant_pad_nd(a + b, {0, n - a.size(-1)}, 0) * config.scale;
    return torch::nn::functional::pad(out, torch::nn::functional::PadFuncOptions({1, 1})).contiguous();
}
"""
ext = load_inline(name="cpp_two_sources", cpp_sources=[helpers, body.replace("torch::nn::functional::pad(out, torch::nn::functional::PadFuncOptions({1, 1}))", "at::pad(out, {1, 1})")],
                  functions=["padded_add"], extra_cflags=["-O2", "-Wall", "-Wno-unused-function"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ext.padded_add(a, b)


def get_inputs():
    return [torch.randn(3, 5), torch.randn(3, 5)]


def get_init_inputs():
    return []
