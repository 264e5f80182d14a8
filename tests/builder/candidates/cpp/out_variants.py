import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>

void into(torch::Tensor out, const torch::Tensor& a, const torch::Tensor& b) {
    at::add_out(out, a, b, 2);
    auto t = at::empty_like(a);
    at::mul_outf(a, b, t);
    auto mean = at::empty({0}, a.options());
    at::mean_out(mean, t, {1}, true);
    out.sub_(mean).clamp_(-3, 3).relu_();
    at::matmul_out(t, out, a.t().contiguous().mm(b));
    out.copy_(t);
    out.resize_({out.numel()});
}
torch::Tensor& chained(torch::Tensor& x) { return x.add_(1).mul_(2).neg_().abs_(); }
std::tuple<torch::Tensor, torch::Tensor> sorted(torch::Tensor x) {
    auto v = at::empty_like(x);
    auto i = at::empty(x.sizes(), x.options().dtype(at::kLong));
    at::sort_out(v, i, x, /*dim=*/-1, /*descending=*/true);
    auto [tv, ti] = x.topk(2, -1);
    auto k = std::get<0>(torch::kthvalue(x, 1));
    return {at::cat({v, tv}, -1) + k.unsqueeze(-1), at::cat({i, ti}, -1)};
}
'''
ext = load_inline(name="cpp_out_variants", cpp_sources=source, functions=["into", "chained", "sorted"])


class ModelNew(nn.Module):
    def forward(self, a, b):
        out = torch.empty_like(a)
        ext.into(out, a, b)
        x = a.clone()
        same = ext.chained(x)
        return out, x, same.data_ptr() == x.data_ptr(), ext.sorted(a)


def get_inputs():
    return [torch.randn(4, 4), torch.randn(4, 4)]


def get_init_inputs():
    return []
