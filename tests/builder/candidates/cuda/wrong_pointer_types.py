from torch.utils.cpp_extension import load_inline

src = """
#include <torch/extension.h>
__global__ void k(float* y, const double* x, int n) { int i = threadIdx.x; if (i < n) y[i] = x[i]; }
torch::Tensor cast(torch::Tensor x) {
    auto y = torch::empty_like(x);
    k<<<1, 256>>>(y.data_ptr<double>(), x.data_ptr<float>(), x.numel());
    return y;
}
"""
m = load_inline(name="wrong_pointer_types", cpp_sources="torch::Tensor cast(torch::Tensor x);", cuda_sources=src, functions=["cast"])
# expected: cuda_source:6
