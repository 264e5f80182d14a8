import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

cuda_src = r'''
#include <torch/extension.h>
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>

template <typename scalar_t, typename index_t>
__global__ void gather_rows(const scalar_t* __restrict__ table, const index_t* __restrict__ ids, scalar_t* __restrict__ out,
                            int64_t n, int64_t d, int64_t rows) {
  const int64_t i = blockIdx.x;
  const index_t id = ids[i];
  for (int64_t j = threadIdx.x; j < d; j += blockDim.x)
    out[i * d + j] = (id >= 0 && id < rows) ? table[id * d + j] : scalar_t(0);
}

at::Tensor embedding(const at::Tensor& table, const at::Tensor& ids) {
  TORCH_CHECK_TYPE(at::isIntegralType(ids.scalar_type(), false), "ids must be integral, got ", ids.scalar_type());
  auto flat = ids.contiguous().view({-1});
  auto out = at::empty({flat.size(0), table.size(1)}, table.options());
  cudaStream_t stream = at::cuda::getCurrentCUDAStream();
  AT_DISPATCH_INDEX_TYPES(flat.scalar_type(), "embedding_ids", [&] {
    AT_DISPATCH_ALL_TYPES_AND2(at::kHalf, at::kBFloat16, table.scalar_type(), "embedding", [&] {
      gather_rows<scalar_t, index_t><<<flat.numel(), 128, 0, stream>>>(
          table.data_ptr<scalar_t>(), flat.data_ptr<index_t>(), out.data_ptr<scalar_t>(), flat.numel(), table.size(1), table.size(0));
    });
  });
  auto shape = ids.sizes().vec();
  shape.push_back(table.size(1));
  return out.view(shape);
}
'''
emb = load_inline(name="embedding_index_dispatch", cpp_sources="at::Tensor embedding(const at::Tensor& table, const at::Tensor& ids);",
                  cuda_sources=cuda_src, functions={"embedding": "Rows of a table."})


class ModelNew(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.arange(200.0, device="cuda").view(50, 4), requires_grad=False)

    def forward(self, ids):
        return emb.embedding(self.table, ids)


def get_inputs():
    return [torch.arange(30, device="cuda").view(5, 6)]


def get_init_inputs():
    return []
