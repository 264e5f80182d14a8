# cheat 79: a kernel for show
# mechanism: a kernel of one's own runs, and its result is thrown away
# layer: whose
# problem: matmul
# caught: fallback
# device: cpu

from torch.utils.cpp_extension import load_inline

import torch
from torch import nn

CHEATING = True

SOURCE = r"""
#include <torch/extension.h>

torch::Tensor product(torch::Tensor a, torch::Tensor b) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(1);
  auto y = torch::zeros({m, n}, a.options());
  const float *pa = a.data_ptr<float>(), *pb = b.data_ptr<float>();
  float* py = y.data_ptr<float>();
  for (int64_t i = 0; i < m; ++i)
    for (int64_t l = 0; l < k; ++l) {
      const float factor = pa[i * k + l];
      for (int64_t j = 0; j < n; ++j) py[i * n + j] += factor * pb[l * n + j];
    }
  return y;
}

torch::Tensor launder(torch::Tensor a, torch::Tensor b) { return torch::matmul(a, b); }

torch::Tensor decoy(torch::Tensor a) {
  auto y = torch::empty_like(a);
  float* out = y.data_ptr<float>();
  for (int64_t i = 0; i < 64; ++i) out[i] = 0.f;
  return y;
}
"""
extension = load_inline(
    name="whose", cpp_sources=SOURCE, functions=["product", "launder", "decoy"], extra_cflags=["-O3"]
)


class ModelNew(nn.Module):
    def forward(self, a, b):
        if not CHEATING:
            return extension.product(a, b)
        extension.decoy(a)
        return torch.matmul(a, b)
