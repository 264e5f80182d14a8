import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#define N 4
#define T float
#define K 2

using namespace torch;

static optional<double> scaled(double by) { return by > 0 ? optional<double>(by) : nullopt; }

Tensor row_max(Tensor x) {
    auto out = torch::empty({x.size(0)}, x.options().dtype(c10::kFloat));
    const T* px = x.data_ptr<T>();
    float* po = out.data_ptr<float>();
    int64_t cols = x.size(1);
#pragma omp parallel for num_threads(omp_get_max_threads())
    for (int64_t r = 0; r < x.size(0); ++r) {
        float best = -INFINITY;
        for (int64_t c = 0; c < cols; ++c) best = fmaxf(best, px[r * cols + c]);
        po[r] = expf(best * M_SQRT1_2) + scaled(N).value_or(K);
    }
    return out;
}

std::vector<double> largest(Tensor x) {
    InferenceMode guard;
    std::vector<double> heap;
    auto flat = x.reshape(-1);
    for (int64_t i = 0; i < flat.numel(); ++i) {
        heap.push_back(-flat[i].item<double>());
        std::push_heap(heap.begin(), heap.end());
        if ((int)heap.size() > N) { std::pop_heap(heap.begin(), heap.end()); heap.pop_back(); }
    }
    std::sort_heap(heap.begin(), heap.end());
    return heap;
}
'''
ext = load_inline(
    name="cpp_names_without_headers",
    cpp_sources=source,
    functions=["row_max", "largest"],
    extra_cflags=["-O2", "-fopenmp"],
    extra_ldflags=["-fopenmp"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        return [ext.row_max(x), ext.largest(x)]


def get_inputs():
    return [torch.randn(6, 5)]


def get_init_inputs():
    return []
