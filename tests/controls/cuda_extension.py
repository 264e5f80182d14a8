# control: a CUDA kernel of one's own
# problem: layernorm
# device: cuda

from torch.utils.cpp_extension import load_inline

import torch
from torch import nn

CUDA = r"""
#include <torch/extension.h>

__global__ void normalise(const float* x, const float* w, const float* b, float* y, int n) {
  __shared__ float part[2][32];
  const float* in = x + int64_t(blockIdx.x) * n;
  float* out = y + int64_t(blockIdx.x) * n;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += in[i];
  for (int d = 16; d; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
  if (lane == 0) part[0][warp] = sum;
  __syncthreads();
  sum = 0;
  for (int i = 0; i < warps; ++i) sum += part[0][i];
  const float mean = sum / n;
  float squares = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) squares += (in[i] - mean) * (in[i] - mean);
  for (int d = 16; d; d /= 2) squares += __shfl_xor_sync(~0u, squares, d);
  if (lane == 0) part[1][warp] = squares;
  __syncthreads();
  squares = 0;
  for (int i = 0; i < warps; ++i) squares += part[1][i];
  const float scale = rsqrtf(squares / n + 1e-5f);
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = (in[i] - mean) * scale * w[i] + b[i];
}

torch::Tensor forward(torch::Tensor x, torch::Tensor w, torch::Tensor b) {
  auto y = torch::empty_like(x);
  const int n = x.size(-1);
  normalise<<<x.numel() / n, 256>>>(
      x.data_ptr<float>(), w.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), n);
  return y;
}
"""
extension = load_inline(
    name="normalise",
    cpp_sources="torch::Tensor forward(torch::Tensor x, torch::Tensor w, torch::Tensor b);",
    cuda_sources=CUDA,
    functions=["forward"],
)

class ModelNew(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.ln = nn.LayerNorm(features)

    def forward(self, x):
        return extension.forward(x, self.ln.weight, self.ln.bias)
