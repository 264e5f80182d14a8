import torch
import torch.nn as nn
from torch.utils import cpp_extension

_ext = None


def get_ext():
    global _ext
    if _ext is None:
        header = "#include <ATen/core/Tensor.h>\nat::Tensor fused_bias_relu(const at::Tensor& x, const at::Tensor& bias);\nvoid fused_bias_relu_(at::Tensor x, const at::Tensor& bias, int device);\n"
        _ext = cpp_extension.load_inline(
            "two_kernels_functions_dict_lazy", [header], [r'''
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
using at::Tensor;
template <bool INPLACE> __global__ void bias_relu(const float* x, const float* __restrict__ b, float* y, int64_t n, int cols) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{blockDim.x} * gridDim.x) y[i] = ::max(x[i] + b[i % cols], 0.f);
}
static int blocks_for(int64_t n) { return std::min<int64_t>((n + 255) / 256, 4 * at::cuda::getCurrentDeviceProperties()->multiProcessorCount); }
Tensor fused_bias_relu(const Tensor& x, const Tensor& bias) {
  TORCH_CHECK(x.is_cuda(), "x must live on the GPU"); TORCH_CHECK_EQ(x.size(-1), bias.numel());
  auto in = x.to(at::kFloat).contiguous(); Tensor out = at::empty(in.sizes(), in.options().memory_format(at::MemoryFormat::Contiguous));
  bias_relu<false><<<blocks_for(in.numel()), 256, 0, at::cuda::getCurrentCUDAStream()>>>(in.const_data_ptr<float>(), bias.const_data_ptr<float>(), out.mutable_data_ptr<float>(), in.numel(), bias.numel());
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out.to(x.scalar_type());
}
void fused_bias_relu_(Tensor x, const Tensor& bias, int device) {
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(device)); TORCH_CHECK(c10::cuda::current_device() == device && at::cuda::warp_size() == 32);
  bias_relu<true><<<blocks_for(x.numel()), 256>>>(x.data_ptr<float>(), bias.data_ptr<float>(), x.data_ptr<float>(), x.numel(), bias.numel());
  AT_CUDA_CHECK(cudaGetLastError());
}
'''], functions={"fused_bias_relu": "relu(x + bias)", "fused_bias_relu_": "in place"}, extra_cuda_cflags=["-O3 -use_fast_math"], extra_include_paths=["/usr/local/cuda/include"])
    return _ext


class ModelNew(nn.Module):
    def forward(self, x, b):
        y = x.clone()
        get_ext().fused_bias_relu_(y, b, 0)
        return get_ext().fused_bias_relu(x, b), y


def get_inputs():
    return [torch.randn(32, 48, device="cuda"), torch.randn(48, device="cuda")]


def get_init_inputs():
    return []
