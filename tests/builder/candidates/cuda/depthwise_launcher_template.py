import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

dw = r'''
#include <torch/extension.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <functional>
#include <array>

namespace {

template <int K, bool BIAS>
__global__ void depthwise(const float* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,
                          float* __restrict__ y, int C, int H, int W) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int plane = blockIdx.y, c = plane % C;
  if (i >= H * W) return;
  const int oy = i / W, ox = i % W;
  float acc = 0.f;
  if constexpr (BIAS) acc = b[c];
#pragma unroll
  for (int ky = 0; ky < K; ++ky)
#pragma unroll
    for (int kx = 0; kx < K; ++kx) {
      const int iy = oy + ky - K / 2, ix = ox + kx - K / 2;
      if (iy >= 0 && iy < H && ix >= 0 && ix < W) acc += x[(size_t)plane * H * W + iy * W + ix] * w[(c * K + ky) * K + kx];
    }
  y[(size_t)plane * H * W + i] = acc;
}

template <int K>
void launch(const torch::Tensor& x, const torch::Tensor& w, const torch::Tensor& b, torch::Tensor& y) {
  const int H = x.size(2), W = x.size(3), C = x.size(1);
  dim3 grid((H * W + 127) / 128, x.size(0) * C);
  auto stream = c10::cuda::getCurrentCUDAStream(x.device().index());
  if (b.defined())
    depthwise<K, true><<<grid, 128, 0, stream>>>(x.data_ptr<float>(), w.data_ptr<float>(), b.data_ptr<float>(), y.data_ptr<float>(), C, H, W);
  else
    depthwise<K, false><<<grid, 128, 0, stream>>>(x.data_ptr<float>(), w.data_ptr<float>(), nullptr, y.data_ptr<float>(), C, H, W);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

torch::Tensor depthwise_conv(torch::Tensor x, torch::Tensor w, torch::optional<torch::Tensor> bias) {
  TORCH_INTERNAL_ASSERT(x.dim() == 4 && w.dim() == 4);
  TORCH_CHECK(w.size(2) == w.size(3), "square kernels only");
  torch::Tensor y = torch::empty_like(x), b = bias.value_or(torch::Tensor());
  using Launcher = std::function<void()>;
  const std::array<std::pair<int, Launcher>, 3> launchers = {{{3, [&] { launch<3>(x, w, b, y); }}, {5, [&] { launch<5>(x, w, b, y); }}, {7, [&] { launch<7>(x, w, b, y); }}}};
  for (const auto& [k, go] : launchers) if (k == w.size(2)) { go(); return y; }
  TORCH_CHECK_NOT_IMPLEMENTED(false, "kernel size ", w.size(2), " is not implemented");
}
'''
m = load_inline(name="depthwise_launcher_template",
                cpp_sources="torch::Tensor depthwise_conv(torch::Tensor x, torch::Tensor w, torch::optional<torch::Tensor> bias);",
                cuda_sources=dw, functions=["depthwise_conv"], extra_cuda_cflags=["-O3", "--expt-extended-lambda"])


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 1, 3, 3, device="cuda"), requires_grad=False)

    def forward(self, x):
        return m.depthwise_conv(x, self.w, None)


def get_inputs():
    return [torch.randn(2, 6, 11, 13, device="cuda")]


def get_init_inputs():
    return []
