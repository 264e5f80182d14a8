import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <c10/util/irange.h>

template <typename scalar_t>
void scale_strided(const at::Tensor& x, at::Tensor& y, scalar_t s) {
    const auto sizes = x.sizes(), in = x.strides(), out = y.strides();
    TORCH_CHECK(x.dim() == 2);
    const scalar_t* xp = x.const_data_ptr<scalar_t>();
    scalar_t* yp = y.mutable_data_ptr<scalar_t>();
    for (const auto i : c10::irange(sizes[0]))
        for (const auto j : c10::irange(sizes[1])) yp[i * out[0] + j * out[1]] = xp[i * in[0] + j * in[1]] * s;
}
at::Tensor scale(const at::Tensor& x, double factor) {
    const at::Scalar s(factor);
    at::Tensor y = at::empty_strided(x.sizes(), x.strides(), x.options());
    AT_DISPATCH_ALL_TYPES_AND(at::ScalarType::Bool, x.scalar_type(), "scale", [&] { scale_strided<scalar_t>(x, y, s.to<scalar_t>()); });
    TORCH_INTERNAL_ASSERT_DEBUG_ONLY(y.storage_offset() == 0);
    return y;
}
at::Tensor window(const at::Tensor& x, int64_t size) {
    TORCH_CHECK_GE(size, 1) << "window too small";
    return x.as_strided({x.numel() - size + 1, size}, {1, 1}).unfold(1, 1, 1).sum({1, 2});
}
'''
ext = load_inline(name="cpp_strided_kernel", cpp_sources=source, functions=["scale", "window"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.scale(x.t(), 2), ext.scale(x.to(torch.int64), 3), ext.scale(x > 0, 1), ext.window(x.flatten(), 3)


def get_inputs():
    return [torch.randn(4, 6)]


def get_init_inputs():
    return []
