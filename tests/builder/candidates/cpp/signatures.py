import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

static torch::Tensor by_const_value(const torch::Tensor x) { return x + 1; }
namespace { void by_rvalue(torch::Tensor&& x) { x.zero_(); } }
extern "C" int three(void) { return 3; }
inline const torch::Tensor& first(const std::vector<torch::Tensor>& xs) { return xs.at(0); }
auto deduced(const at::Tensor& x, int64_t n = 4) -> std::vector<at::Tensor> { return std::vector<at::Tensor>(n, x); }
double many(torch::Tensor a, torch::Tensor b, int c, int d, float e, double f, bool g, std::string s, std::vector<torch::Tensor> v,
            std::optional<torch::Tensor> o, int64_t l, at::IntArrayRef z, c10::optional<std::string> t, torch::optional<double> w) {
    return c + d + e + f + g + s.size() + v.size() + (o ? 1 : 0) + l + z.size() + (t ? t->size() : 0) + w.value_or(0.5) + a.numel() + b.numel();
}
'''
ext = load_inline(name="cpp_signatures", cpp_sources=source,
                  functions=["by_const_value", "by_rvalue", "three", "first", "deduced", "many"])


class ModelNew(nn.Module):
    def forward(self, x):
        zeroed = x.clone()
        ext.by_rvalue(zeroed)
        return [
            ext.by_const_value(x), zeroed, ext.three(), ext.first([x, x]), ext.deduced(x, 2),
            ext.many(x, x, 1, 2, 3, 4, True, "abc", [x], None, 5, [1, 2], "t", None),
            ext.many.__doc__, ext.many.__name__, ext.many.__module__,
        ]


def get_inputs():
    return [torch.randn(2, 2)]


def get_init_inputs():
    return []
