import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

# 0 and 1 are dimensions here, and must not be taken for bools.
source = r'''
#include <torch/extension.h>
#include <ATen/ops/var_mean.h>
#include <ATen/native/Pool.h>

std::vector<torch::Tensor> spread(torch::Tensor x) {
    auto [variance, mean] = torch::var_mean(x, 0);
    auto both = at::std_mean(x, 1);
    return {x.var(0), x.var(1), x.std(0), x.std(1), torch::var(x, 0), at::std(x, 1), variance, mean, std::get<0>(both), std::get<1>(both),
            x.var(false), x.var(true), x.var({0, 1}), x.var(0, false), x.std(1, true, true), x.std({0}, 0), torch::var(x, {1}, /*unbiased=*/false, true)};
}
std::vector<torch::Tensor> reduced(torch::Tensor x) {
    return {x.sum(0), x.mean(1), x.norm(2, 1), x.norm(2), x.any(0), x.all(1, true), x.amax(0), x.amin({1}), x.logsumexp(0), x.prod(1),
            x.cumsum(1), x.softmax(0), x.sum(torch::kDouble), x.sum({-1}, false, torch::kDouble), x.argmax(1, true), x.quantile(0.5, 1),
            std::get<1>(x.sort(0, true)), std::get<0>(x.topk(2, 0, false)), std::get<0>(x.max(1, true)), std::get<1>(x.median(0)),
            x.rot90(), x.rot90(1), x.flip(0), x.roll(1), x.squeeze(0), x.clamp(c10::nullopt, 1.), x.conj(), x.div(2, "floor")};
}
torch::Tensor instance_norm(torch::Tensor x, double eps) {
    auto flat = x.reshape({x.size(0), -1});
    return ((flat - flat.mean(1, true)) / (flat.var(1).unsqueeze(1) + eps).sqrt()).view(x.sizes());
}
#define COPIED(op) torch::Tensor op##_copied(torch::Tensor x) { return x.clone().op##_(); }
COPIED(relu)
int64_t questions(torch::Tensor x) { return at::numel(x) + at::size(x, 0) + at::stride(x, 0) + at::is_floating_point(x) + x.output_nr(); }
'''
ext = load_inline(name="cpp_dimensions_by_number", cpp_sources=source, functions=["spread", "reduced", "instance_norm", "relu_copied", "questions"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.spread(x), ext.reduced(x), ext.instance_norm(x, 1e-5), ext.relu_copied(x), ext.questions(x)


def get_inputs():
    return [torch.randn(4, 5)]


def get_init_inputs():
    return []
