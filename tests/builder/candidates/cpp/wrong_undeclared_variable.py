from torch.utils.cpp_extension import load_inline

source = """
#include <torch/extension.h>
torch::Tensor scale(torch::Tensor x) {
    for (int i = 0; i < x.numel(); ++i) x.data_ptr<float>()[i] *= factor;
    return x;
}
"""
ext = load_inline(name="cpp_wrong_undeclared_variable", cpp_sources=source, functions=["scale"])
# expected: cpp_source:4
