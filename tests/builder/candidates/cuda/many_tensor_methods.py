import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <vector>

__global__ void square(float* x, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) x[i] *= x[i]; }

torch::Tensor mixed(torch::Tensor x) {
    auto a = x.view({x.size(0), -1}).transpose(0, 1).contiguous();
    auto centred = a - a.mean(1, /*keepdim=*/true);
    auto spread = a.var({1}, /*unbiased=*/false, /*keepdim=*/true).add(1e-5).rsqrt();
    auto z = (centred * spread).clamp(-2.0, 2.0);
    z = z.permute({1, 0}).unsqueeze(1).expand({z.size(1), 3, z.size(0)}).clone();
    z.select(1, 0).zero_();
    z.slice(1, 1, 2).copy_(z.narrow(1, 2, 1) * 2);
    auto mask = z > 1.0;
    z.masked_fill_(mask, 1.0);
    auto idx = torch::tensor({0, 2}, torch::dtype(torch::kLong).device(z.device()));
    auto picked = z.index_select(1, idx).reshape({-1});
    picked = torch::where(picked < 0, -picked, picked).sqrt().pow(2).exp().log();
    int n = picked.numel();
    square<<<(n + 255) / 256, 256>>>(picked.data_ptr<float>(), n);
    auto s = picked.sum();
    auto top = std::get<0>(picked.max(0));
    auto stacked = torch::stack({s, top, picked.min(), picked.norm()});
    TORCH_CHECK(stacked.defined() && stacked.dim() == 1, "bad stack");
    return stacked + at::sum(z, {0, 1}).mean().item<float>() + (mask.any().item<bool>() ? 1 : 0) + picked.numel() % 3;
}
'''
m = load_inline(name="many_tensor_methods", cpp_sources="torch::Tensor mixed(torch::Tensor x);", cuda_sources=src, functions=["mixed"])


class ModelNew(nn.Module):
    def forward(self, x):
        return m.mixed(x)


def get_inputs():
    return [torch.randn(5, 4, 6, device="cuda")]


def get_init_inputs():
    return []
