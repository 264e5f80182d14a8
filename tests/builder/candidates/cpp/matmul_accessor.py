import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = """
torch::Tensor matmul(torch::Tensor a, torch::Tensor b) {
    TORCH_CHECK(a.dim() == 2 && b.dim() == 2, "expected 2D tensors, got ", a.dim(), "D and ", b.dim(), "D");
    TORCH_CHECK(a.size(1) == b.size(0), "mat1 and mat2 shapes cannot be multiplied (", a.size(0), "x", a.size(1), " and ", b.size(0), "x", b.size(1), ")");
    auto c = torch::zeros({a.size(0), b.size(1)}, a.options());
    auto A = a.accessor<float, 2>();
    auto B = b.accessor<float, 2>();
    auto C = c.accessor<float, 2>();
    for (int i = 0; i < A.size(0); ++i)
        for (int k = 0; k < A.size(1); ++k)
            for (int j = 0; j < B.size(1); ++j)
                C[i][j] += A[i][k] * B[k][j];
    return c;
}
"""
ext = load_inline(name="cpp_matmul_accessor", cpp_sources=source, functions={"matmul": "Matrix product."})

CALLS = [("matmul", (torch.ones(2, 3), torch.ones(4, 2))), ("matmul", (torch.ones(2), torch.ones(4, 2)))]


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ext.matmul(a, b)


def get_inputs():
    return [torch.randn(5, 6), torch.randn(6, 7)]


def get_init_inputs():
    return []
