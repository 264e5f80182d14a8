import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <map>
#include <unordered_map>
#include <optional>
#include <array>

torch::Tensor weighted(std::vector<torch::Tensor> xs, std::optional<std::vector<double>> weights, c10::optional<int64_t> repeat) {
    TORCH_CHECK(!xs.empty(), "need at least one tensor");
    auto out = torch::zeros_like(xs[0]);
    for (size_t i = 0; i < xs.size(); ++i) out.add_(xs[i], weights.has_value() ? weights->at(i) : 1.0);
    return repeat ? out.repeat({*repeat}) : out;
}
std::map<std::string, torch::Tensor> named(const std::unordered_map<std::string, torch::Tensor>& given) {
    std::map<std::string, torch::Tensor> out;
    for (const auto& [k, v] : given) out["_" + k] = v + 1;
    return out;
}
c10::optional<torch::Tensor> maybe(torch::Tensor x, bool give) {
    if (!give) return c10::nullopt;
    return x * 2;
}
std::array<int64_t, 3> three(std::array<int64_t, 3> v) { return {v[2], v[1], v[0]}; }
std::vector<std::vector<int64_t>> nested(const std::vector<std::vector<int64_t>>& v) { return v; }
std::tuple<int, std::string, bool> mixed(std::tuple<int, std::string> t, std::pair<float, bool> p) {
    return {std::get<0>(t) + (int)p.first, std::get<1>(t) + "!", !p.second};
}
torch::Tensor undefined() { return torch::Tensor(); }
std::vector<torch::Tensor> with_undefined(torch::Tensor x) { return {x, torch::Tensor()}; }
'''
ext = load_inline(name="cpp_optional_and_containers", cpp_sources=source,
                  functions=["weighted", "named", "maybe", "three", "nested", "mixed", "undefined", "with_undefined"])


class ModelNew(nn.Module):
    def forward(self, x):
        return [
            ext.weighted([x, x + 1], [0.5, 2], None), ext.weighted((x,), None, 2), str(sorted(ext.named({"a": x}))),
            ext.maybe(x, True), ext.maybe(x, False), ext.three([1, 2, 3]), ext.nested([[1], (2, 3), []]),
            ext.mixed((1, "a"), (2.5, True)), ext.undefined(), ext.with_undefined(x),
        ]


def get_inputs():
    return [torch.randn(4)]


def get_init_inputs():
    return []
