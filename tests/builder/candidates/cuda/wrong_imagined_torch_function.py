from torch.utils.cpp_extension import load_inline

src = """
#include <torch/extension.h>
torch::Tensor run(torch::Tensor x) {
    auto y = torch::fused_bias_gelu_dropout(x, 0.1);
    return y.sum_of_squares_norm();
}
"""
m = load_inline(name="wrong_imagined_torch_function", cpp_sources="torch::Tensor run(torch::Tensor x);", cuda_sources=src, functions=["run"])
# expected: cuda_source:4
