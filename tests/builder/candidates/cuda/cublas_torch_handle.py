import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = """
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>

__global__ void add_bias(float* y, const float* b, int n, int total) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < total) y[i] += b[i % n];
}

at::Tensor linear(at::Tensor x, at::Tensor w, at::Tensor b) {
    auto handle = at::cuda::getCurrentCUDABlasHandle();
    int M = x.size(0), K = x.size(1), N = w.size(0);
    auto y = at::empty({M, N}, x.options());
    float one = 1.f, zero = 0.f;
    TORCH_CUDABLAS_CHECK(cublasSgemm(handle, CUBLAS_OP_T, CUBLAS_OP_N, N, M, K, &one, w.data_ptr<float>(), K, x.data_ptr<float>(), K, &zero, y.data_ptr<float>(), N));
    add_bias<<<(M * N + 255) / 256, 256, 0, at::cuda::getCurrentCUDAStream()>>>(y.data_ptr<float>(), b.data_ptr<float>(), N, M * N);
    return y;
}
"""
lin = load_inline(name="cublas_torch_handle", cpp_sources="at::Tensor linear(at::Tensor x, at::Tensor w, at::Tensor b);", cuda_sources=source,
                  functions=["linear"], extra_ldflags=["-lcublas"])


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(32, 24).cuda().requires_grad_(False)

    def forward(self, x):
        return lin.linear(x, self.fc.weight, self.fc.bias)


def get_inputs():
    return [torch.randn(10, 32, device="cuda")]


def get_init_inputs():
    return []
