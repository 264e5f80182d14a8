import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

src = r'''
#include <torch/extension.h>
#include <cub/cub.cuh>

template <int BLOCK>
__global__ void row_sum(const float* __restrict__ x, float* __restrict__ out, int cols) {
    typedef cub::BlockReduce<float, BLOCK> BlockReduce;
    __shared__ typename BlockReduce::TempStorage temp;
    float v = 0.f;
    for (int i = threadIdx.x; i < cols; i += BLOCK) v += x[blockIdx.x * cols + i];
    float total = BlockReduce(temp).Sum(v);
    if (threadIdx.x == 0) out[blockIdx.x] = total;
}

torch::Tensor sum_lastdim(torch::Tensor x, bool keepdim) {
    auto sizes = x.sizes().vec();
    int cols = sizes.back();
    sizes.back() = 1;
    auto out = torch::empty(torch::IntArrayRef(sizes), x.options());
    row_sum<128><<<out.numel(), 128>>>(x.const_data_ptr<float>(), out.mutable_data_ptr<float>(), cols);
    return keepdim ? out : out.squeeze(-1);
}
'''
ext = load_inline(name="sum_cub_block", cpp_sources="torch::Tensor sum_lastdim(torch::Tensor x, bool keepdim);", cuda_sources=src,
                  functions=["sum_lastdim"], with_cuda=True, verbose=False)


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.sum_lastdim(x, True)


def get_inputs():
    return [torch.randn(4, 8, 300, device="cuda")]


def get_init_inputs():
    return []
