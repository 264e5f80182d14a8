import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

// Python.h has brought C's headers by now, and with them std's overloads at global scope.
std::vector<double> of_one(torch::Tensor x) {
    float a = x.item<float>();
    static_assert(std::is_same_v<decltype(abs(a)), float>);
    static_assert(std::is_same_v<decltype(pow(a, 2.f)), float>);
    static_assert(std::is_same_v<decltype(sqrt(a)), float>);
    float largest = std::max(0.5f, fabs(a));
    double classes = isnan(a) + 2 * isinf(a) + 4 * isfinite(a) + 8 * signbit(a);
    return {abs(a), largest, classes, std::min(1.f, exp(a)), (double)abs((int64_t)-5000000000)};
}

torch::Tensor by_four(torch::Tensor x) {
    auto out = torch::empty_like(x, torch::kFloat).contiguous();
    auto in = x.to(torch::kFloat).contiguous();
    const float* from = in.data_ptr<float>();
    float* to = out.data_ptr<float>();
    __m128 two = _mm_set1_ps(2.f);
    int64_t i = 0;
    for (; i + 4 <= in.numel(); i += 4) _mm_storeu_ps(to + i, _mm_mul_ps(two, _mm_loadu_ps(from + i)));
    for (; i < in.numel(); ++i) to[i] = 2 * from[i];
    return out;
}

double summed(torch::Tensor x) {
    char quote = '"', apostrophe = '\'';
    auto rectified = torch::relu(x);
    std::string text = "a", raw = R"x(torch::linalg " )")x";
    const int64_t million = 1'000'000;
    std::valarray<double> values{rectified.sum().item<double>(), 1.0 * million};
    return values.sum() + quote + apostrophe + text.size() + raw.size() + torch::sigmoid(x).numel();
}
'''
ext = load_inline(
    name="cpp_names_of_c_and_vectors",
    cpp_sources=source,
    functions=["of_one", "by_four", "summed"],
    extra_cflags=["-O2"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        ones = [-2.5, 2.5, float("nan"), float("-inf"), -0.0, 1e-40]
        return [ext.of_one(torch.tensor(one)) for one in ones], ext.by_four(x), ext.summed(x)


def get_inputs():
    return [torch.randn(3, 7)]


def get_init_inputs():
    return []
