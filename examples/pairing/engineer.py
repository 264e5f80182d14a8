import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

SOURCE = r"""
#include <torch/extension.h>
#include <cmath>

torch::Tensor rms_norm(torch::Tensor x, torch::Tensor weight, double eps) {
    auto y = torch::empty_like(x);
    const int64_t n = x.size(-1), rows = x.numel() / n;
    const float* in = x.data_ptr<float>();
    const float* w = weight.data_ptr<float>();
    float* out = y.data_ptr<float>();
    #pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < rows; ++r) {
        const float* row = in + r * n;
        float sum = 0;
        // The pragma allows this one reordering, and nothing else changes its meaning.
        #pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; ++i) sum += row[i] * row[i];
        const float scale = 1.0f / std::sqrt(sum / n + (float)eps);
        #pragma omp simd
        for (int64_t i = 0; i < n; ++i) out[r * n + i] = row[i] * scale * w[i];
    }
    return y;
}
"""

extension = load_inline(
    name="rms_norm", cpp_sources=SOURCE, functions=["rms_norm"], extra_cflags=["-O3", "-march=native", "-fopenmp"]
)


class ModelNew(nn.Module):
    def __init__(self, features, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.eps = eps

    def forward(self, x):
        return extension.rms_norm(x.contiguous(), self.weight, self.eps)
