import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_src = r'''
#include <torch/extension.h>
#include <cuda.h>
#include <cuda_runtime.h>
#include <vector>

#define CHECK_CUDA(x) TORCH_CHECK(x.device().is_cuda(), #x " must be a CUDA tensor")
#define CHECK_CONTIGUOUS(x) TORCH_CHECK(x.is_contiguous(), #x " must be contiguous")
#define CHECK_INPUT(x) CHECK_CUDA(x); CHECK_CONTIGUOUS(x)

template <typename scalar_t>
__global__ void lltm_cell_kernel(const scalar_t* __restrict__ gates, const scalar_t* __restrict__ old_cell,
                                 scalar_t* __restrict__ new_h, scalar_t* __restrict__ new_cell, size_t state_size) {
  const int column = blockIdx.x * blockDim.x + threadIdx.x;
  const int index = blockIdx.y * state_size + column;
  const int gates_row = blockIdx.y * (state_size * 3);
  if (column < state_size) {
    const scalar_t i = 1.0 / (1.0 + exp(-gates[gates_row + column]));
    const scalar_t o = 1.0 / (1.0 + exp(-gates[gates_row + state_size + column]));
    const scalar_t c = gates[gates_row + 2 * state_size + column];
    new_cell[index] = old_cell[index] + (c > 0 ? c : exp(c) - 1) * i;
    new_h[index] = tanh(new_cell[index]) * o;
  }
}

std::vector<torch::Tensor> lltm_forward(torch::Tensor input, torch::Tensor weights, torch::Tensor bias, torch::Tensor old_h, torch::Tensor old_cell) {
  CHECK_INPUT(input); CHECK_INPUT(weights); CHECK_INPUT(bias); CHECK_INPUT(old_h); CHECK_INPUT(old_cell);
  auto X = torch::cat({old_h, input}, 1);
  auto gates = torch::addmm(bias, X, weights.transpose(0, 1));
  const auto batch_size = old_cell.size(0);
  const auto state_size = old_cell.size(1);
  auto new_h = torch::zeros_like(old_cell);
  auto new_cell = torch::zeros_like(old_cell);
  const int threads = 1024;
  const dim3 blocks((state_size + threads - 1) / threads, batch_size);
  AT_DISPATCH_FLOATING_TYPES(gates.type(), "lltm_forward_cuda", ([&] {
    lltm_cell_kernel<scalar_t><<<blocks, threads>>>(gates.data<scalar_t>(), old_cell.data<scalar_t>(), new_h.data<scalar_t>(), new_cell.data<scalar_t>(), state_size);
  }));
  return {new_h, new_cell, gates};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("forward", &lltm_forward, "LLTM forward (CUDA)");
}
'''
lltm = load_inline(name="own_pybind_in_cuda_source", cpp_sources="", cuda_sources=cuda_src, extra_cuda_cflags=["-O3", "--use_fast_math"], with_cuda=True)


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(15, 11)), nn.Parameter(torch.randn(15))

    def forward(self, x, h, c):
        return lltm.forward(x, self.w, self.b, h, c)


def get_inputs():
    return [torch.randn(4, 6, device="cuda"), torch.randn(4, 5, device="cuda"), torch.randn(4, 5, device="cuda")]


def get_init_inputs():
    return []
