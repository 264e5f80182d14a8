from torch.utils.cpp_extension import load_inline

source = """
#include <torch/extension.h>
torch::Tensor run(torch::Tensor x) {
    float* p = x;
    return x.sum("rows");
}
"""
ext = load_inline(name="cpp_wrong_argument_type", cpp_sources=source, functions=["run"])
# expected: cpp_source:4
