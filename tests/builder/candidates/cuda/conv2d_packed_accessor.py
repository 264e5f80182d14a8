import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

conv_src = r'''
#include <torch/extension.h>

template <typename scalar_t>
__global__ void conv2d_kernel(const torch::PackedTensorAccessor32<scalar_t, 4, torch::RestrictPtrTraits> x,
                              const torch::PackedTensorAccessor32<scalar_t, 4, torch::RestrictPtrTraits> w,
                              torch::PackedTensorAccessor32<scalar_t, 4, torch::RestrictPtrTraits> y, int stride, int pad) {
    const int ow = blockIdx.x * blockDim.x + threadIdx.x;
    const int oh = blockIdx.y * blockDim.y + threadIdx.y;
    const int nc = blockIdx.z;
    const int n = nc / w.size(0), oc = nc % w.size(0);
    if (ow >= y.size(3) || oh >= y.size(2)) return;
    scalar_t acc = 0;
    for (int ic = 0; ic < x.size(1); ++ic)
        for (int kh = 0; kh < w.size(2); ++kh)
            for (int kw = 0; kw < w.size(3); ++kw) {
                const int ih = oh * stride - pad + kh, iw = ow * stride - pad + kw;
                if (ih >= 0 && ih < x.size(2) && iw >= 0 && iw < x.size(3)) acc += x[n][ic][ih][iw] * w[oc][ic][kh][kw];
            }
    y[n][oc][oh][ow] = acc;
}

torch::Tensor conv2d_forward(torch::Tensor x, torch::Tensor w, int stride, int pad) {
    const auto H = (x.size(2) + 2 * pad - w.size(2)) / stride + 1;
    const auto W = (x.size(3) + 2 * pad - w.size(3)) / stride + 1;
    auto y = torch::empty({x.size(0), w.size(0), H, W}, x.options());
    const dim3 block(16, 16);
    const dim3 grid((W + 15) / 16, (H + 15) / 16, x.size(0) * w.size(0));
    AT_DISPATCH_FLOATING_TYPES(x.type(), "conv2d_forward", ([&] {
        conv2d_kernel<scalar_t><<<grid, block>>>(
            x.packed_accessor32<scalar_t, 4, torch::RestrictPtrTraits>(),
            w.packed_accessor32<scalar_t, 4, torch::RestrictPtrTraits>(),
            y.packed_accessor32<scalar_t, 4, torch::RestrictPtrTraits>(), stride, pad);
    }));
    return y;
}
'''
conv = load_inline(name="conv2d_packed_accessor", cpp_sources="torch::Tensor conv2d_forward(torch::Tensor x, torch::Tensor w, int stride, int pad);",
                   cuda_sources=conv_src, functions=["conv2d_forward"])


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False).cuda()

    def forward(self, x):
        return conv.conv2d_forward(x, self.conv.weight.detach(), 1, 1)


def get_inputs():
    return [torch.randn(2, 3, 17, 19, device="cuda")]


def get_init_inputs():
    return []
