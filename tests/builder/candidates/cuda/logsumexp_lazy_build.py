import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

_source = r'''
#include <torch/extension.h>
#include <cuda_runtime.h>
#include <math_constants.h>

__global__ void lse_kernel(const float* __restrict__ x, float* __restrict__ out, int n) {
    const float* r = x + (size_t)blockIdx.x * n;
    float m = -CUDART_INF_F, s = 0.f;
    for (int i = threadIdx.x; i < n; i += 32) {
        float v = r[i], mn = fmaxf(m, v);
        s = s * __expf(m - mn) + __expf(v - mn);
        m = mn;
    }
    for (int o = 16; o; o >>= 1) {
        float om = __shfl_xor_sync(0xffffffff, m, o), os = __shfl_xor_sync(0xffffffff, s, o), mn = fmaxf(m, om);
        s = (m == -CUDART_INF_F ? 0.f : s * __expf(m - mn)) + (om == -CUDART_INF_F ? 0.f : os * __expf(om - mn));
        m = mn;
    }
    if (threadIdx.x == 0) out[blockIdx.x] = m + __logf(s);
}
at::Tensor lse(at::Tensor x) {
    auto flat = x.contiguous().flatten(0, -2);
    auto out = at::empty({flat.size(0)}, flat.options());
    if (flat.size(0) > 0) lse_kernel<<<flat.size(0), 32>>>(flat.data_ptr<float>(), out.data_ptr<float>(), flat.size(1));
    std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
    shape.back() = 1;
    return out.reshape(shape);
}
'''
_ext = None


def _load():
    global _ext
    if _ext is None:
        _ext = load_inline(name="logsumexp_lazy_build", cpp_sources=["at::Tensor lse(at::Tensor x);"], cuda_sources=[_source],
                           functions={"lse": "log-sum-exp over the last dimension"}, extra_cuda_cflags=["--use_fast_math"])
    return _ext


class ModelNew(nn.Module):
    def forward(self, x):
        return _load().lse(x)


def get_inputs():
    return [torch.randn(6, 7, 90, device="cuda")]


def get_init_inputs():
    return []
