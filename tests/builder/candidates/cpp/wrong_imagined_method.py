from torch.utils.cpp_extension import load_inline

source = """
#include <torch/extension.h>
torch::Tensor run(torch::Tensor x) {
    return x.softmax_with_temperature(2.0);
}
"""
ext = load_inline(name="cpp_wrong_imagined_method", cpp_sources=source, functions=["run"])
# expected: cpp_source:4
