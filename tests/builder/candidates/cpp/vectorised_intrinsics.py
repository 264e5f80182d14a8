import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <immintrin.h>
#include <cstring>
#include <memory>
#include <thread>

__attribute__((target("avx2,fma"))) static void saxpy_avx2(const float* x, const float* y, float* z, float a, int64_t n) {
    const __m256 va = _mm256_set1_ps(a);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(z + i, _mm256_fmadd_ps(va, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
    for (; i < n; ++i) z[i] = a * x[i] + y[i];
}
static void saxpy_plain(const float* x, const float* y, float* z, float a, int64_t n) { for (int64_t i = 0; i < n; ++i) z[i] = a * x[i] + y[i]; }

at::Tensor saxpy(const at::Tensor& x, const at::Tensor& y, double a) {
    auto xc = x.contiguous(), yc = y.contiguous();
    auto z = at::empty(xc.sizes(), xc.options());
    const int64_t n = xc.numel();
    std::unique_ptr<float[]> scratch(new float[n]);
    std::memcpy(scratch.get(), xc.const_data_ptr<float>(), n * sizeof(float));
    std::thread worker([&] {
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) saxpy_avx2(scratch.get(), yc.data_ptr<float>(), z.data_ptr<float>(), a, n);
        else saxpy_plain(scratch.get(), yc.data_ptr<float>(), z.data_ptr<float>(), a, n);
    });
    worker.join();
    return z;
}
'''
ext = load_inline(name="cpp_vectorised_intrinsics", cpp_sources=source, functions=["saxpy"], extra_cflags=["-O3", "-ffast-math"])


class ModelNew(nn.Module):
    def forward(self, x, y):
        return ext.saxpy(x, y, 2.5)


def get_inputs():
    return [torch.randn(13, 7), torch.randn(13, 7)]


def get_init_inputs():
    return []
