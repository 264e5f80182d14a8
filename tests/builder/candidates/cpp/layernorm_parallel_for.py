import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <ATen/Parallel.h>
#include <cmath>
#include <vector>

std::vector<torch::Tensor> layernorm(const torch::Tensor& x, const c10::optional<torch::Tensor>& weight,
                                     const c10::optional<torch::Tensor>& bias, double eps) {
    TORCH_CHECK(x.dim() >= 2, "expected at least 2 dimensions, got ", x.dim());
    TORCH_CHECK(x.scalar_type() == torch::kFloat, "expected float, got ", x.scalar_type());
    auto xc = x.contiguous();
    const int64_t n = xc.size(-1), rows = xc.numel() / n;
    auto y = torch::empty_like(xc);
    auto mean = torch::empty({rows}, xc.options()), rstd = torch::empty({rows}, xc.options());
    const float* w = weight.has_value() ? weight->data_ptr<float>() : nullptr;
    const float* b = bias.has_value() ? bias->data_ptr<float>() : nullptr;
    const float* xp = xc.data_ptr<float>();
    float *yp = y.data_ptr<float>(), *mp = mean.data_ptr<float>(), *rp = rstd.data_ptr<float>();
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            double s = 0, q = 0;
            for (int64_t i = 0; i < n; ++i) { s += xp[r * n + i]; q += (double)xp[r * n + i] * xp[r * n + i]; }
            const double m = s / n, v = std::max(0.0, q / n - m * m), inv = 1.0 / std::sqrt(v + eps);
            mp[r] = m; rp[r] = inv;
            for (int64_t i = 0; i < n; ++i) {
                float o = (xp[r * n + i] - m) * inv;
                if (w) o *= w[i];
                if (b) o += b[i];
                yp[r * n + i] = o;
            }
        }
    });
    return {y, mean, rstd};
}
'''
ext = load_inline(name="cpp_layernorm_parallel_for", cpp_sources=[source], functions=["layernorm"], extra_cflags=["-O2", "-fopenmp"],
                  extra_ldflags=["-fopenmp"])


class ModelNew(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = torch.linspace(0.5, 2, n)

    def forward(self, x):
        return ext.layernorm(x, self.w, None, 1e-5)


def get_inputs():
    return [torch.randn(6, 5, 40)]


def get_init_inputs():
    return [40]
