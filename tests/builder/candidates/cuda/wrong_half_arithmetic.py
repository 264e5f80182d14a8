from torch.utils.cpp_extension import load_inline

# torch's flags disable the operators of __half; many candidates forget it.
src = """
#include <torch/extension.h>
#include <cuda_fp16.h>
__global__ void add(const __half* a, const __half* b, __half* c, int n) {
    int i = threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}
torch::Tensor add_half(torch::Tensor a, torch::Tensor b) {
    auto c = torch::empty_like(a);
    add<<<1, 256>>>((const __half*)a.data_ptr<at::Half>(), (const __half*)b.data_ptr<at::Half>(), (__half*)c.data_ptr<at::Half>(), a.numel());
    return c;
}
"""
m = load_inline(name="wrong_half_arithmetic", cpp_sources="torch::Tensor add_half(torch::Tensor a, torch::Tensor b);", cuda_sources=src, functions=["add_half"])
# expected: cuda_source:6
