import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

std::vector<torch::Tensor> conversions(torch::Tensor x, torch::Tensor like) {
    auto options = torch::TensorOptions().dtype(torch::kFloat64).device(torch::kCPU).requires_grad(false);
    return {
        x.to(torch::kDouble), x.to(torch::kCPU), x.to(options), x.to(torch::Device("cpu"), torch::kHalf),
        x.to(like), x.to(like.device(), like.scalar_type(), /*non_blocking=*/false, /*copy=*/true), x.to(like.options()),
        x.to(at::kBFloat16).to(at::kFloat), x.type_as(like), x.toType(torch::kInt32), x.cpu(), x.contiguous().to(x.dtype().toScalarType()),
        x.to(torch::dtype(torch::kInt64)), x.detach().clone(at::MemoryFormat::Contiguous),
    };
}
std::string described(torch::Tensor x) {
    TORCH_CHECK(x.dtype() == torch::kFloat32 || x.dtype() == at::ScalarType::Int, "float32 or int32, got ", x.dtype(), " (", x.scalar_type(), ") on ", x.device());
    std::string s = std::string(x.dtype().name()) + " " + c10::toString(x.scalar_type()) + " " + x.device().str() + " " + x.toString();
    s += x.is_floating_point() ? " real" : " whole";
    s += x.options().dtype() == x.dtype() ? "" : "?";
    s += std::to_string(x.element_size()) + std::to_string(x.itemsize()) + std::to_string(x.nbytes()) + std::to_string(x.get_device());
    return s;
}
'''
ext = load_inline(name="cpp_to_overloads", cpp_sources=source, functions=["conversions", "described"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.conversions(x, torch.ones(1, dtype=torch.float64)), ext.described(x), ext.described(x.int())


def get_inputs():
    return [torch.randn(3, 4)]


def get_init_inputs():
    return []
