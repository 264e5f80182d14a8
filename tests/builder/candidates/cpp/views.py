import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <vector>

std::vector<torch::Tensor> views(torch::Tensor x) {
    std::vector<torch::Tensor> out;
    out.push_back(x.view({-1}));
    out.push_back(x.reshape({x.size(1), -1}));
    out.push_back(x.transpose(0, 1));
    out.push_back(x.permute({2, 0, 1}));
    out.push_back(x.unsqueeze(0).squeeze(0).unsqueeze(-1));
    out.push_back(x.select(1, 0));
    out.push_back(x.slice(2, 1, 4, 2));
    out.push_back(x.narrow(0, 1, 1));
    out.push_back(x.flatten(1));
    out.push_back(x.expand({2, x.size(0), x.size(1), x.size(2)}));
    out.push_back(x.t().numel() ? x[0].t() : x);
    return out;
}
std::vector<at::Tensor> parts(const at::Tensor& x) {
    auto out = x.chunk(2, 0);
    for (auto& p : at::split(x, 2, 1)) out.push_back(p);
    for (const auto& p : x.unbind(0)) out.emplace_back(p);
    out.push_back(at::cat({x, x}, 0));
    out.push_back(torch::cat(std::vector<torch::Tensor>{x, x * 2}, 1));
    out.push_back(x.repeat({1, 2, 1}));
    out.push_back(torch::roll(x, 1, 0));
    out.push_back(at::flip(x, {0, 1}).contiguous());
    return out;
}
'''
ext = load_inline(name="cpp_views", cpp_sources=source.replace("out.push_back(x.t().numel() ? x[0].t() : x);", "out.push_back(x[0].t());"),
                  functions=["views", "parts"])


class ModelNew(nn.Module):
    def forward(self, x):
        return ext.views(x), ext.parts(x)


def get_inputs():
    return [torch.randn(2, 3, 5)]


def get_init_inputs():
    return []
