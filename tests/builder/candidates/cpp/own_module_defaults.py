import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <stdexcept>
#include <string>
#include <vector>

namespace py = pybind11;

torch::Tensor leaky_relu(torch::Tensor x, double slope) {
    TORCH_CHECK(x.dim() == 2, "x must be two-dimensional, got ", x.dim());
    return torch::where(x > 0, x, x * slope);
}

std::vector<torch::Tensor> moments(const torch::Tensor& x, c10::optional<torch::Tensor> weight,
                                   std::vector<int64_t> dims, bool keepdim, const std::string& how) {
    if (how != "biased" && how != "unbiased") throw std::invalid_argument("how must be biased or unbiased, not " + how);
    auto y = weight.has_value() ? x * weight.value() : x;
    return {y.mean(dims, keepdim), y.var(dims, how == "unbiased", keepdim)};
}

int64_t at_most(std::vector<int64_t> v, size_t i) { return v.at(i); }
void overflow() { throw std::overflow_error("too much"); }
void unknown() { throw 7; }
void index_error(int64_t i) { TORCH_CHECK_INDEX(i < 3, "index ", i, " is out of range"); }
void runtime() { throw std::runtime_error("from C++"); }
template <typename T> T twice(T x) { return x * 2; }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.doc() = "activations and moments";
    m.def("leaky_relu", &leaky_relu, "Leaky ReLU", py::arg("x"), py::arg("slope") = 0.01);
    m.def("moments", &moments, py::arg("x"), py::arg("weight") = py::none(), py::arg("dims") = std::vector<int64_t>{-1},
          py::arg("keepdim") = false, py::arg("how") = "unbiased", "mean and variance");
    m.def("scaled", [](torch::Tensor x, float by) { return x * by; }, "x times by", py::arg("x"), py::arg("by"));
    m.def("bare", leaky_relu);
    m.def("at_most", &at_most);
    m.def("overflow", &overflow);
    m.def("unknown", &unknown);
    m.def("index_error", &index_error, py::call_guard<py::gil_scoped_release>());
    m.def("runtime", &runtime, "always fails");
    m.def("twice", &twice<double>, "twice a number");
    m.attr("VERSION") = "1.2";
}
'''
ext = load_inline(name="cpp_own_module_defaults", cpp_sources=[source], verbose=False)


def caught(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except Exception as e:
        return f"{type(e).__name__}: {str(e).partition('Invoked with')[0]}"


class ModelNew(nn.Module):
    def forward(self, x):
        return [
            ext.leaky_relu(x), ext.leaky_relu(x, slope=0.5), ext.leaky_relu(slope=1, x=x), ext.leaky_relu(x, 0.2),
            *ext.moments(x), *ext.moments(x, dims=[0, 1], weight=x, how="biased"), ext.scaled(x=x, by=3),
            ext.bare(x, 0.3), ext.twice(2), ext.VERSION,
            [f.__doc__ for f in (ext.leaky_relu, ext.moments, ext.scaled, ext.bare, ext.at_most, ext.index_error)],
            caught(ext.leaky_relu), caught(ext.leaky_relu, x, slop=1), caught(ext.leaky_relu, x, 0.1, slope=1),
            caught(ext.leaky_relu, x, 0.1, 0.2), caught(ext.leaky_relu, x[0]), caught(ext.bare, x, slope=1),
            caught(ext.moments, x, how="any"), caught(ext.moments, x, None, 3), caught(ext.at_most, [1, 2], 5),
            caught(ext.overflow), caught(ext.unknown), caught(ext.index_error, 5), caught(ext.index_error, 2),
            caught(ext.runtime), caught(ext.twice, "2"), ext.__doc__,
        ]


def get_inputs():
    return [torch.randn(3, 4)]


def get_init_inputs():
    return []
