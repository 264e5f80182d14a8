import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <algorithm>
#include <cmath>
#include <limits>

template <typename scalar_t>
void softmax_rows(const scalar_t* x, scalar_t* y, int64_t rows, int64_t n) {
    for (int64_t r = 0; r < rows; ++r) {
        double m = -std::numeric_limits<double>::infinity(), s = 0;
        for (int64_t i = 0; i < n; ++i) m = std::max(m, static_cast<double>(x[r * n + i]));
        for (int64_t i = 0; i < n; ++i) s += std::exp(static_cast<double>(x[r * n + i]) - m);
        for (int64_t i = 0; i < n; ++i) y[r * n + i] = static_cast<scalar_t>(std::exp(static_cast<double>(x[r * n + i]) - m) / s);
    }
}

at::Tensor softmax_last(at::Tensor x) {
    x = x.contiguous();
    auto y = at::empty_like(x);
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, x.scalar_type(), "softmax_last", ([&] {
        softmax_rows<scalar_t>(x.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), x.numel() / x.size(-1), x.size(-1));
    }));
    return y;
}
'''
ext = load_inline(name="cpp_softmax_dispatch", cpp_sources=source, functions="softmax_last", extra_cflags=["-O3"])


class ModelNew(nn.Module):
    def forward(self, x):
        parts = [ext.softmax_last(x.to(t)).float() for t in (torch.float32, torch.float16, torch.bfloat16, torch.float64)]
        try:
            ext.softmax_last(x.to(torch.int32))
        except RuntimeError as error:
            parts.append(torch.tensor(float(len(str(error)))))
        return parts


def get_inputs():
    return [torch.randn(7, 19)]


def get_init_inputs():
    return []
