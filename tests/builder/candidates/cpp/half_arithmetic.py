import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <limits>

template <typename T>
void mix(const T* a, const T* b, T* c, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        T v = a[i] + b[i] * T(2) - a[i] / (b[i] + T(3.f));
        v += a[i];
        v -= static_cast<T>(0.25);
        v *= 1.5f;
        float f = v + 1.0f;
        f += a[i];
        c[i] = (v > a[i] ? v : -a[i]) + T(f) + 1;
        if (c[i] > std::numeric_limits<T>::max() / 2) c[i] = std::numeric_limits<T>::lowest();
    }
}
torch::Tensor mixed(torch::Tensor a, torch::Tensor b) {
    auto c = torch::empty_like(a);
    if (a.scalar_type() == at::kHalf) mix<at::Half>(a.data_ptr<at::Half>(), b.data_ptr<at::Half>(), c.data_ptr<at::Half>(), a.numel());
    else if (a.dtype() == torch::kBFloat16) mix<c10::BFloat16>(a.data_ptr<at::BFloat16>(), b.data_ptr<at::BFloat16>(), c.data_ptr<c10::BFloat16>(), a.numel());
    else mix<float>(a.data_ptr<float>(), b.data_ptr<float>(), c.data_ptr<float>(), a.numel());
    return c;
}
double extremes() { return (double)(float)std::numeric_limits<at::Half>::max() + (float)at::Half(1e-7f) + (float)at::BFloat16(1.0039f) + (float)at::Half(65520.f > 0 ? 0.1f : 0.f); }
'''
ext = load_inline(name="cpp_half_arithmetic", cpp_sources=source, functions=["mixed", "extremes"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        return [ext.mixed(a.to(t), b.to(t)) for t in (torch.half, torch.bfloat16, torch.float)] + [ext.extremes()]


def get_inputs():
    return [torch.randn(50, 7) * 10, torch.rand(50, 7)]


def get_init_inputs():
    return []
