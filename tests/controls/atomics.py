# control: partial sums added in any order
# problem: scalar
# device: cpu

from torch.utils.cpp_extension import load_inline

import torch
from torch import nn

SOURCE = r"""
#include <torch/extension.h>
#include <atomic>

torch::Tensor forward(torch::Tensor p, torch::Tensor t) {
  const int64_t n = p.numel();
  const float *a = p.data_ptr<float>(), *b = t.data_ptr<float>();
  double total = 0;
  #pragma omp parallel for
  for (int64_t block = 0; block < 64; ++block) {
    double mine = 0;
    for (int64_t i = block * (n / 64); i < (block + 1) * (n / 64); ++i) mine += double(a[i] - b[i]) * (a[i] - b[i]);
    #pragma omp atomic
    total += mine;
  }
  return torch::tensor(float(total / n));
}
"""
extension = load_inline(name="atomics", cpp_sources=SOURCE, functions=["forward"], extra_cflags=["-O3", "-fopenmp"], extra_ldflags=["-fopenmp"])


class ModelNew(nn.Module):
    def forward(self, prediction, target):
        return extension.forward(prediction, target)
