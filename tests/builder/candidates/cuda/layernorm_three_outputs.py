import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_source = r"""
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <vector>

template <typename T>
__inline__ __device__ T warpReduceSum(T val) {
  #pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) val += __shfl_down_sync(0xffffffff, val, offset);
  return val;
}

__inline__ __device__ float blockReduceSum(float val) {
  static __shared__ float shared[32];
  int lane = threadIdx.x % 32, wid = threadIdx.x / 32;
  val = warpReduceSum(val);
  if (lane == 0) shared[wid] = val;
  __syncthreads();
  val = (threadIdx.x < blockDim.x / 32) ? shared[lane] : 0.f;
  if (wid == 0) val = warpReduceSum(val);
  if (threadIdx.x == 0) shared[0] = val;
  __syncthreads();
  float total = shared[0];
  __syncthreads();
  return total;
}

__global__ void layernorm_forward_kernel(const float* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta,
                                         float* __restrict__ y, float* __restrict__ mean_out, float* __restrict__ rstd_out,
                                         int64_t N, float eps) {
  const int64_t row = blockIdx.x;
  const float* xr = x + row * N;
  float s = 0.f, ss = 0.f;
  for (int64_t i = threadIdx.x; i < N; i += blockDim.x) { float v = xr[i]; s += v; ss += v * v; }
  s = blockReduceSum(s);
  ss = blockReduceSum(ss);
  const float mean = s / N;
  const float rstd = rsqrtf(ss / N - mean * mean + eps);
  for (int64_t i = threadIdx.x; i < N; i += blockDim.x) y[row * N + i] = (xr[i] - mean) * rstd * gamma[i] + beta[i];
  if (threadIdx.x == 0) { mean_out[row] = mean; rstd_out[row] = rstd; }
}

std::vector<torch::Tensor> layernorm_forward(torch::Tensor x, torch::Tensor gamma, torch::Tensor beta, double eps) {
  TORCH_CHECK(x.is_cuda(), "x must be a CUDA tensor");
  x = x.contiguous();
  const int64_t N = x.size(-1);
  const int64_t rows = x.numel() / N;
  auto y = torch::empty_like(x);
  auto stats_shape = x.sizes().vec();
  stats_shape.pop_back();
  auto mean = torch::empty(stats_shape, x.options());
  auto rstd = torch::empty(stats_shape, x.options());
  layernorm_forward_kernel<<<rows, 256>>>(x.data_ptr<float>(), gamma.data_ptr<float>(), beta.data_ptr<float>(),
      y.data_ptr<float>(), mean.data_ptr<float>(), rstd.data_ptr<float>(), N, static_cast<float>(eps));
  return {y, mean, rstd};
}
"""
cpp_source = "#include <vector>\nstd::vector<torch::Tensor> layernorm_forward(torch::Tensor x, torch::Tensor gamma, torch::Tensor beta, double eps);"

ln = load_inline(name="layernorm_three_outputs", cpp_sources=cpp_source, cuda_sources=cuda_source,
                 functions=["layernorm_forward"], verbose=False)


class ModelNew(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(0.5, 1.5, size, device="cuda"))
        self.bias = nn.Parameter(torch.linspace(-1, 1, size, device="cuda"))

    def forward(self, x):
        return ln.layernorm_forward(x, self.weight, self.bias, 1e-5)[0]


def get_inputs():
    return [torch.randn(8, 4, 1000, device="cuda")]


def get_init_inputs():
    return [1000]
