from torch.utils.cpp_extension import load_inline

src = """
#include <torch/extension.h>
__global__ void k(float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x
    if (i < n) y[i] = 0.f;
}
torch::Tensor zero(torch::Tensor x) { k<<<1, 256>>>(x.data_ptr<float>(), x.numel()); return x; }
"""
m = load_inline(name="wrong_missing_semicolon", cpp_sources="torch::Tensor zero(torch::Tensor x);", cuda_sources=src, functions=["zero"])
# expected: cuda_source:5
