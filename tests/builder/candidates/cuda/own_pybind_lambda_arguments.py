import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cpp = r'''
#include <torch/extension.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
namespace py = pybind11;
using namespace pybind11::literals;
void launch_scale(const float* x, float* y, float alpha, float beta, int64_t n, int64_t stream);
torch::Tensor scale(const torch::Tensor& x, float alpha, c10::optional<double> beta) {
  auto y = torch::empty_like(x);
  py::gil_scoped_release release;
  launch_scale(x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), alpha, beta.value_or(0.0), x.numel(), 0);
  return y;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.doc() = "scaling";
  m.def("scale", &scale, "x"_a, "alpha"_a = 1.0f, "beta"_a = py::none());
  m.def("scale_", [](torch::Tensor& x, float alpha) -> torch::Tensor& {
    launch_scale(x.data_ptr<float>(), x.data_ptr<float>(), alpha, 0.f, x.numel(), 0);
    return x;
  }, py::arg("x"), py::arg("alpha"), py::call_guard<py::gil_scoped_release>());
  m.attr("BLOCK") = 256;
}
'''
cuda = r'''
#include <cuda_runtime.h>
#include <cstdint>
constexpr int kBlock = 256;
__global__ void scale_kernel(const float* __restrict__ x, float* y, float alpha, float beta, int64_t n) {
  for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x) y[i] = fmaf(alpha, x[i], beta);
}
void launch_scale(const float* x, float* y, float alpha, float beta, int64_t n, int64_t stream) {
  int blocks = static_cast<int>((n + kBlock - 1) / kBlock);
  scale_kernel<<<blocks < 4096 ? blocks : 4096, kBlock, 0, reinterpret_cast<cudaStream_t>(stream)>>>(x, y, alpha, beta, n);
}
'''
ext = load_inline(name="own_pybind_lambda_arguments", cpp_sources=[cpp], cuda_sources=[cuda], verbose=True, extra_cflags=["-O3"])


class ModelNew(nn.Module):
    def forward(self, x):
        y = ext.scale(x, alpha=2.0, beta=0.5)
        return y, ext.scale_(y.clone(), alpha=ext.BLOCK), ext.scale(x)


def get_inputs():
    return [torch.randn(1000, device="cuda")]


def get_init_inputs():
    return []
