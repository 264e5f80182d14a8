# control: a C++ extension of one's own
# problem: layernorm
# device: cpu

from torch.utils.cpp_extension import load_inline

import torch
from torch import nn

SOURCE = r"""
#include <torch/extension.h>
#include <cmath>

torch::Tensor forward(torch::Tensor x, torch::Tensor w, torch::Tensor b) {
  auto y = torch::empty_like(x);
  const int64_t rows = x.size(0), n = x.size(1);
  const float *in = x.data_ptr<float>(), *ww = w.data_ptr<float>(), *bb = b.data_ptr<float>();
  float* out = y.data_ptr<float>();
  #pragma omp parallel for
  for (int64_t r = 0; r < rows; ++r) {
    float mean = 0, spread = 0;
    for (int64_t i = 0; i < n; ++i) mean += in[r * n + i];
    mean /= n;
    for (int64_t i = 0; i < n; ++i) spread += (in[r * n + i] - mean) * (in[r * n + i] - mean);
    const float scale = 1 / std::sqrt(spread / n + 1e-5f);
    for (int64_t i = 0; i < n; ++i) out[r * n + i] = (in[r * n + i] - mean) * scale * ww[i] + bb[i];
  }
  return y;
}
"""
extension = load_inline(name="honest", cpp_sources=SOURCE, functions=["forward"], extra_cflags=["-O3", "-fopenmp"], extra_ldflags=["-fopenmp"])

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return extension.forward(x, self.ln.weight, self.ln.bias)
