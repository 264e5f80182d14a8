"""The kernel that turn_latency hands in on a CPU; SALT is replaced before each turn."""

import torch
from torch import nn
from torch.utils.cpp_extension import load_inline

source = r"""
#include <torch/extension.h>
#include <ATen/Parallel.h>
#include <sys/mman.h>
#include <cmath>
#include <cstdint>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// Fault the whole pages of a block in with one system call instead of one exception each.
static void populate(void* start, size_t bytes) {
    const uintptr_t page = 4096;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(start) + page - 1) & ~(page - 1);
    const uintptr_t last = (reinterpret_cast<uintptr_t>(start) + bytes) & ~(page - 1);
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_WRITE);
}

constexpr long kSalt = SALT;  // makes every build new to every cache

torch::Tensor layer_norm(torch::Tensor x, torch::Tensor weight, torch::Tensor bias, double eps) {
    TORCH_CHECK(x.is_contiguous(), "x must be contiguous");
    const int64_t n = x.size(-1);
    const int64_t rows = x.numel() / n;
    auto y = torch::empty_like(x);
    const float* px = x.data_ptr<float>();
    const float* pw = weight.data_ptr<float>();
    const float* pb = bias.data_ptr<float>();
    float* py = y.data_ptr<float>();
    constexpr int64_t kBlock = 16;
    at::parallel_for(0, rows, kBlock, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; block += kBlock) {
            const int64_t stop = block + kBlock < end ? block + kBlock : end;
            populate(py + block * n, (stop - block) * n * sizeof(float));
            for (int64_t r = block; r < stop; ++r) {
                const float* __restrict__ in = px + r * n;
                float* __restrict__ out = py + r * n;
                // The row stays in the L1: about its own mean, nothing cancels.
                float sum = 0.f, square = 0.f;
                #pragma omp simd reduction(+ : sum)
                for (int64_t i = 0; i < n; ++i) sum += in[i];
                const float mean = sum / n;
                #pragma omp simd reduction(+ : square)
                for (int64_t i = 0; i < n; ++i) square += (in[i] - mean) * (in[i] - mean);
                const float scale = 1.0f / std::sqrt(square / n + static_cast<float>(eps));
                #pragma omp simd
                for (int64_t i = 0; i < n; ++i) out[i] = (in[i] - mean) * scale * pw[i] + pb[i];
            }
        }
    });
    return y;
}
"""

extension = load_inline(
    name="layer_norm_rows",
    cpp_sources=source,
    functions=["layer_norm"],
    extra_cflags=["-O3", "-march=native", "-fopenmp"],
    extra_ldflags=["-fopenmp"],
)


class ModelNew(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return extension.layer_norm(x, self.ln.weight, self.ln.bias, self.ln.eps)
