import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

mse = r'''
#include <torch/extension.h>
#include <iostream>

template <typename T>
__global__ void mse_kernel(const T* p, const T* t, double* acc, long n) {
    double s = 0;
    for (long i = blockIdx.x * (long)blockDim.x + threadIdx.x; i < n; i += (long)blockDim.x * gridDim.x) {
        double d = (double)p[i] - (double)t[i];
        s += d * d;
    }
    for (int o = 16; o > 0; o /= 2) s += __shfl_down_sync(0xffffffff, s, o);
    if (threadIdx.x % 32 == 0) atomicAdd(acc, s);
}

torch::Tensor mse_loss(const torch::Tensor& p, const torch::Tensor& t, const std::string& reduction) {
    TORCH_CHECK(p.sizes() == t.sizes(), "The size of tensor a ", p.sizes(), " must match the size of tensor b ", t.sizes());
    auto acc = torch::zeros({1}, p.options().dtype(torch::kFloat64));
    auto pc = p.contiguous();
    auto tc = t.contiguous();
    AT_DISPATCH_FLOATING_TYPES(pc.scalar_type(), "mse_loss", [&] {
        mse_kernel<scalar_t><<<64, 256>>>(pc.data_ptr<scalar_t>(), tc.data_ptr<scalar_t>(), acc.data_ptr<double>(), pc.numel());
    });
    if (reduction == "mean") acc.div_(static_cast<double>(pc.numel()));
    else if (reduction != "sum") { std::cerr << "reduction " << reduction << std::endl; throw std::invalid_argument("bad reduction: " + reduction); }
    return acc.squeeze().to(p.scalar_type());
}
'''
ext = load_inline(name="mse_double_atomics",
                  cpp_sources="torch::Tensor mse_loss(const torch::Tensor& p, const torch::Tensor& t, const std::string& reduction);",
                  cuda_sources=mse, functions=["mse_loss"])


class ModelNew(nn.Module):
    def forward(self, p, t):
        return ext.mse_loss(p, t, "mean")


def get_inputs():
    return [torch.randn(50, 60, device="cuda"), torch.randn(50, 60, device="cuda")]


def get_init_inputs():
    return []
