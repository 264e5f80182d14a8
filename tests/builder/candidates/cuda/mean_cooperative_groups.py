import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_source = '''
#include <torch/extension.h>
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;

__global__ void mean_kernel(const float* x, float* out, int n, float scale) {
    cg::thread_block block = cg::this_thread_block();
    cg::thread_block_tile<32> warp = cg::tiled_partition<32>(block);
    __shared__ float partial[32];
    float v = 0;
    for (int i = block.thread_rank(); i < n; i += block.size()) v += x[blockIdx.x * n + i];
    v = cg::reduce(warp, v, cg::plus<float>());
    if (warp.thread_rank() == 0) partial[warp.meta_group_rank()] = v;
    block.sync();
    if (warp.meta_group_rank() == 0) {
        v = warp.thread_rank() < warp.meta_group_size() ? partial[warp.thread_rank()] : 0.f;
        v = cg::reduce(warp, v, cg::plus<float>());
        if (warp.thread_rank() == 0) out[blockIdx.x] = v * scale;
    }
}

torch::Tensor mean_cuda(torch::Tensor x, int64_t dim) {
    if (dim < 0) dim += x.dim();
    std::vector<int64_t> perm;
    for (int64_t i = 0; i < x.dim(); ++i) if (i != dim) perm.push_back(i);
    perm.push_back(dim);
    auto y = x.permute(perm).contiguous();
    auto sizes = y.sizes();
    std::vector<int64_t> out_sizes(sizes.begin(), sizes.end() - 1);
    auto out = at::empty(out_sizes, y.options());
    mean_kernel<<<out.numel(), 256>>>(y.data_ptr<float>(), out.data_ptr<float>(), (int)sizes.back(), 1.0f / sizes.back());
    return out;
}
'''
op = load_inline(name="mean_cooperative_groups", cpp_sources=["torch::Tensor mean_cuda(torch::Tensor x, int64_t dim);"],
                 cuda_sources=[cuda_source], functions=["mean_cuda"])


class ModelNew(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        return op.mean_cuda(x, self.dim)


def get_inputs():
    return [torch.randn(4, 100, 65, device="cuda")]


def get_init_inputs():
    return [1]
