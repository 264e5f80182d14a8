import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <vector>

std::vector<int64_t> pair_of(const py::object& given) {
    if (py::isinstance<py::int_>(given)) {
        auto v = given.cast<int64_t>();
        return {v, v};
    }
    if (py::isinstance<py::sequence>(given)) return given.cast<std::vector<int64_t>>();
    throw std::runtime_error("expected an int or a sequence of ints");
}

torch::Tensor pooled(torch::Tensor x, py::object kernel, py::object stride) {
    return torch::avg_pool2d(x, pair_of(kernel), stride.is_none() ? pair_of(kernel) : pair_of(stride));
}

torch::Tensor network(torch::Tensor x, py::object params, bool is_training) {
    for (auto layer : params.attr("layers").cast<py::list>()) {
        auto weights = layer.cast<py::dict>();
        x = torch::linear(x, weights["weight"].cast<torch::Tensor>(), weights["bias"].cast<c10::optional<torch::Tensor>>());
        if (weights.contains("slope")) x = torch::leaky_relu(x, weights["slope"].cast<double>());
    }
    return is_training ? x * 2 : x;
}

py::dict described(torch::Tensor x, torch::IntArrayRef dims) {
    py::dict out;
    out["sizes"] = x.sizes();
    out["dtype"] = x.scalar_type();
    out["device"] = x.device();
    out["sums"] = py::make_tuple(x.sum(dims), x.sum());
    py::list names;
    for (int64_t d : dims) names.append(py::str("dim {}").format(d));
    out["names"] = names;
    out["item"] = x.sum().item();
    return out;
}

py::object mapped(py::function f, const std::vector<torch::Tensor>& xs) {
    py::list out;
    for (const auto& x : xs) out.append(f(x));
    return py::tuple(out);
}

torch::Tensor with_dtype(torch::Tensor x, py::handle dtype, py::args more, py::kwargs named) {
    x = x.to(dtype.cast<torch::ScalarType>());
    for (auto each : more) x = x + each.cast<torch::Tensor>();
    return named.contains("scale") ? x * named["scale"].cast<double>() : x;
}

torch::Tensor scaled(torch::Tensor x, py::dict by) { return x * by["by"].cast<at::Scalar>(); }
void index_error() { TORCH_CHECK_INDEX(false, "no such index"); }
void invalid() { throw std::invalid_argument("not valid"); }
'''
names = ["pooled", "network", "described", "mapped", "with_dtype", "scaled", "index_error", "invalid"]
ext = load_inline(name="cpp_python_objects", cpp_sources=[source], functions={name: f"what {name} does" for name in names})


def caught(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except Exception as e:
        return f"{type(e).__name__}: {str(e).partition('Invoked with')[0].partition('At:')[0]}"


class Params:
    def __init__(self):
        gen = torch.Generator().manual_seed(3)
        self.layers = [
            {"weight": torch.randn(5, 4, generator=gen), "bias": None, "slope": 0.25},
            {"weight": torch.randn(2, 5, generator=gen), "bias": torch.ones(2)},
        ]


class ModelNew(nn.Module):
    def forward(self, x):
        image = x.reshape(1, 1, 8, -1)
        return [
            ext.pooled(image, 2, None), ext.pooled(image, (1, 2), [2, 1]), caught(ext.pooled, image, "2", None), caught(ext.pooled, image, 2),
            ext.network(x, Params(), True), caught(ext.network, x, Params, False), caught(ext.network, x[0:0], None, False),
            *ext.described(x, [0])["sums"], {k: str(v) for k, v in ext.described(x, (0, 1)).items()}, caught(ext.described, x, "a"),
            ext.mapped(torch.sin, [x, x[0]]), caught(ext.mapped, lambda y: y.no_such, [x]), caught(ext.mapped, 3, [x]),
            ext.with_dtype(x, torch.float64), ext.with_dtype(x, torch.float16, x, x, scale=0.5), caught(ext.with_dtype, x, "float"),
            caught(ext.scaled, x, {"by": 2.0}), caught(ext.scaled, x, {}), caught(ext.pooled, image, [2, 2], "a"),
            caught(ext.index_error), caught(ext.invalid), [f.__doc__ for f in (ext.pooled, ext.network, ext.described, ext.with_dtype)],
        ]


def get_inputs():
    return [torch.randn(16, 4)]


def get_init_inputs():
    return []
