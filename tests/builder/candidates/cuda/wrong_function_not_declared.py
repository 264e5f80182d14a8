from torch.utils.cpp_extension import load_inline

src = """
#include <torch/extension.h>
torch::Tensor forward_cuda(torch::Tensor x) { return x + 1; }
"""
m = load_inline(name="wrong_function_not_declared", cpp_sources="", cuda_sources=src, functions=["forward_cuda"])
# expected: bindings
