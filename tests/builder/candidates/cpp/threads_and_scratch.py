import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/torch.h>
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {
struct Scratch {
    std::unordered_map<int64_t, torch::Tensor> buffers;
    std::mutex lock;
    torch::Tensor get(int64_t n, const torch::TensorOptions& options) {
        std::lock_guard<std::mutex> held(lock);
        auto it = buffers.find(n);
        if (it == buffers.end()) it = buffers.emplace(n, torch::empty({n}, options)).first;
        return it->second;
    }
};
Scratch& scratch() { static Scratch s; return s; }

template <int TILE>
void gemm_tile(const float* __restrict a, const float* __restrict b, float* __restrict c, int64_t m0, int64_t m, int64_t n, int64_t k) {
    for (int64_t i = m0; i < std::min<int64_t>(m0 + TILE, m); ++i)
        for (int64_t p = 0; p < k; ++p) {
            const float x = a[i * k + p];
            for (int64_t j = 0; j < n; ++j) c[i * n + j] += x * b[p * n + j];
        }
}
}  // namespace

at::Tensor gemm(const at::Tensor& a_, const at::Tensor& b_, c10::optional<at::Tensor> bias, int64_t threads) {
    TORCH_CHECK(a_.dim() == 2 && b_.dim() == 2 && a_.size(1) == b_.size(0), "cannot multiply ", a_.sizes(), " by ", b_.sizes());
    auto a = a_.to(torch::kFloat).contiguous(), b = b_.to(a.dtype()).contiguous();
    const auto m = a.size(0), n = b.size(1), k = a.size(1);
    auto out = scratch().get(m * n, a.options()).view({m, n});
    std::memset(out.data_ptr<float>(), 0, out.nbytes());
    std::atomic<int64_t> next{0};
    std::vector<std::thread> pool;
    for (int64_t t = 0; t < threads; ++t)
        pool.emplace_back([&, pa = a.const_data_ptr<float>(), pb = b.const_data_ptr<float>(), pc = out.mutable_data_ptr<float>()] {
            for (int64_t i; (i = next.fetch_add(8)) < m;) gemm_tile<8>(pa, pb, pc, i, m, n, k);
        });
    for (auto& t : pool) t.join();
    if (bias.has_value() && bias->defined()) out = out + *bias; else out = out.clone();
    return out.to(a_.device(), a_.dtype());
}
std::vector<int64_t> order(const std::vector<double>& values) {
    std::vector<int64_t> index(values.size());
    std::iota(index.begin(), index.end(), 0);
    std::stable_sort(index.begin(), index.end(), [&](auto i, auto j) { return values[i] < values[j]; });
    return index;
}
'''
ext = load_inline(name="cpp_threads_and_scratch", cpp_sources=source, functions=["gemm", "order"],
                  extra_cflags=["-O3", "-ffast-math", "-pthread"], extra_ldflags=["-lpthread"], with_cuda=False)


class ModelNew(nn.Module):
    def forward(self, a, b):
        return ext.gemm(a, b, None, 2), ext.gemm(a.half(), b, b[0], 1), ext.gemm(a, b, torch.ones(7), 3), ext.order([3.0, 1, 2])


def get_inputs():
    return [torch.randn(20, 5), torch.randn(5, 7)]


def get_init_inputs():
    return []
