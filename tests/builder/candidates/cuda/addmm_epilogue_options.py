import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = """
#include <torch/extension.h>
#include <cuda_runtime.h>

__global__ void hardswish(float* x, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) { float v = x[i]; x[i] = v * fminf(fmaxf(v + 3.f, 0.f), 6.f) / 6.f; }
}

torch::Tensor forward(torch::Tensor x, torch::Tensor weight, torch::Tensor bias) {
    auto xf = x.to(torch::kFloat32).to(torch::kCUDA);
    auto wf = weight.to(xf.device(), torch::kFloat32, /*non_blocking=*/true);
    auto out = torch::addmm(bias.to(torch::TensorOptions().dtype(torch::kFloat).device(xf.device())), xf, wf.transpose(0, 1));
    auto scratch = torch::full_like(out, 2.0);
    out.mul_(scratch).add_(1.0).div_(2);
    out += torch::ones({1}, out.options());
    out -= 1.5;
    int n = out.numel();
    hardswish<<<(n + 255) / 256, 256>>>(out.data_ptr<float>(), n);
    TORCH_CHECK(cudaGetLastError() == cudaSuccess, "launch failed");
    return out.to(x.options());
}
"""
fused = load_inline("addmm_epilogue_options", ["torch::Tensor forward(torch::Tensor x, torch::Tensor weight, torch::Tensor bias);"], [source],
                    functions=["forward"], verbose=False, extra_cuda_cflags=["-O2", "-lineinfo"])


class ModelNew(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.fc = nn.Linear(i, o).cuda().requires_grad_(False)

    def forward(self, x):
        return fused.forward(x, self.fc.weight, self.fc.bias)


def get_inputs():
    return [torch.randn(12, 40, device="cuda")]


def get_init_inputs():
    return [40, 20]
