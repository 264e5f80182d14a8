import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.cpp_extension import load_inline

_cpp = """
#include <torch/extension.h>
torch::Tensor ln_forward(torch::Tensor x, c10::optional<torch::Tensor> weight, std::optional<at::Tensor> bias, int64_t normalized, float eps);
"""
_cuda = r"""
#include <torch/extension.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAException.h>

__global__ void ln_kernel(const float* __restrict__ x, const float* w, const float* b, float* __restrict__ y, int n, float eps) {
    extern __shared__ float buf[];
    const float* row = x + (long long)blockIdx.x * n;
    float s = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) { buf[i] = row[i]; s += buf[i]; }
    __shared__ float stat[2];
    __shared__ float red[8];
    auto total = [&](float v) {
        for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
        if (threadIdx.x % 32 == 0) red[threadIdx.x / 32] = v;
        __syncthreads();
        float t = 0;
        for (int i = 0; i < blockDim.x / 32; ++i) t += red[i];
        __syncthreads();
        return t;
    };
    float mean = total(s) / n;
    float v = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) { float d = buf[i] - mean; v += d * d; }
    float inv = rsqrtf(total(v) / n + eps);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float o = (buf[i] - mean) * inv;
        if (w) o *= w[i];
        if (b) o += b[i];
        y[(long long)blockIdx.x * n + i] = o;
    }
    (void)stat;
}

torch::Tensor ln_forward(torch::Tensor x, c10::optional<torch::Tensor> weight, std::optional<at::Tensor> bias, int64_t normalized, float eps) {
    const at::cuda::OptionalCUDAGuard device_guard(at::device_of(x));
    TORCH_CHECK(x.is_cuda(), "Input must be on the GPU but is on ", x.device());
    TORCH_CHECK(x.size(-1) == normalized, "last dimension is ", x.size(-1), ", expected ", normalized);
    auto input = x.is_contiguous() ? x : x.contiguous();
    at::Tensor out = at::empty_like(input, at::MemoryFormat::Contiguous);
    const float* w = weight.has_value() && weight->defined() ? weight->data_ptr<float>() : nullptr;
    const float* b = bias ? bias.value().data_ptr<float>() : nullptr;
    cudaStream_t stream = at::cuda::getCurrentCUDAStream().stream();
    ln_kernel<<<input.numel() / normalized, 256, normalized * sizeof(float), stream>>>(
        input.data_ptr<float>(), w, b, out.data_ptr<float>(), normalized, eps);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return out;
}
"""


class ModelNew(nn.Module):
    """Builds in its constructor, as some candidates do."""

    def __init__(self, n):
        super().__init__()
        self.n = n
        self.ext = load_inline(name="layernorm_guard_optional", cpp_sources=[_cpp], cuda_sources=[_cuda],
                               functions=["ln_forward"], extra_cflags=["-O3"], extra_cuda_cflags=["-O3", "-use_fast_math"])
        self.weight = nn.Parameter(torch.ones(n, device="cuda"))

    def forward(self, x):
        return self.ext.ln_forward(x, self.weight, None, self.n, 1e-5)


def get_inputs():
    return [torch.randn(16, 33, 512, device="cuda")]


def get_init_inputs():
    return [512]
