import os
import tempfile

import torch
import torch.nn as nn
from torch.utils.cpp_extension import load

here = tempfile.mkdtemp()
with open(os.path.join(here, "kernels.h"), "w") as f:
    f.write("""
#pragma once
#include <torch/torch.h>
torch::Tensor rms_norm_cpu(const torch::Tensor& x, const torch::Tensor& weight, double eps);
""")
with open(os.path.join(here, "kernels.cpp"), "w") as f:
    f.write("""
#include "kernels.h"
#include <pybind11/pybind11.h>
#include <torch/extension.h>
#include <cmath>

torch::Tensor rms_norm_cpu(const torch::Tensor& x, const torch::Tensor& weight, double eps) {
    TORCH_CHECK(x.device().is_cpu(), "x must be on the CPU");
    TORCH_CHECK(x.scalar_type() == torch::kFloat, "expected float but got ", x.scalar_type());
    auto input = x.contiguous();
    auto output = torch::empty_like(input);
    const int64_t cols = input.size(-1), rows = input.numel() / cols;
    const float* in = input.data_ptr<float>();
    const float* w = weight.data_ptr<float>();
    float* out = output.data_ptr<float>();
    for (int64_t r = 0; r < rows; ++r) {
        float s = 0;
        for (int64_t c = 0; c < cols; ++c) s += in[r * cols + c] * in[r * cols + c];
        const float scale = 1.0f / std::sqrt(s / cols + static_cast<float>(eps));
        for (int64_t c = 0; c < cols; ++c) out[r * cols + c] = in[r * cols + c] * scale * w[c];
    }
    return output;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
    using namespace pybind11::literals;
    module.def("rms_norm", &rms_norm_cpu, "RMS norm (CPU)", "x"_a, "weight"_a, "eps"_a = 1e-6);
}
""")
ext = load(name="cpp_own_module_from_files", sources=[os.path.join(here, "kernels.cpp")], extra_cflags=["-O2"])


class ModelNew(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return ext.rms_norm(x, self.weight, eps=1e-5), ext.rms_norm(x, self.weight), ext.rms_norm.__doc__


def get_inputs():
    return [torch.randn(5, 16)]


def get_init_inputs():
    return [16]
