import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <pybind11/functional.h>
#include <functional>
#include <memory>

namespace py = pybind11;

class Averager {
 public:
    Averager(torch::Tensor start, double momentum) : mean_(start.clone()), momentum_(momentum) {
        TORCH_CHECK_VALUE(momentum > 0 && momentum <= 1, "momentum must be in (0, 1], got ", momentum);
    }
    torch::Tensor update(const torch::Tensor& x) {
        mean_.mul_(1 - momentum_).add_(x, momentum_);
        return mean_;
    }
    torch::Tensor mean_;
    double momentum_;
};

enum class Kind { Relu, Gelu };

torch::Tensor act(torch::Tensor x, Kind kind) { return kind == Kind::Relu ? torch::relu(x) : torch::gelu(x); }
torch::Tensor scale(torch::Tensor x, double by) { return x * by; }
torch::Tensor scale(torch::Tensor x, torch::Tensor by) { return x * by.unsqueeze(0); }
torch::Tensor twice(const std::function<torch::Tensor(torch::Tensor)>& f, torch::Tensor x) { return f(f(x)); }
int strict(int n) { return n + 1; }

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    py::class_<Averager, std::shared_ptr<Averager>>(m, "Averager")
        .def(py::init<torch::Tensor, double>(), py::arg("start"), py::arg("momentum") = 0.1)
        .def("__repr__", [](const Averager& a) { return "Averager with " + std::to_string(a.momentum_); })
        .def("update", &Averager::update)
        .def_readwrite("mean", &Averager::mean_)
        .def_property_readonly("momentum", [](const Averager& a) { return a.momentum_; });
    py::enum_<Kind>(m, "Kind").value("RELU", Kind::Relu).value("GELU", Kind::Gelu);
    m.def("kind", [](const std::string& name) { return name == "gelu" ? Kind::Gelu : Kind::Relu; });
    m.def("act", &act, py::arg("x"), py::arg("kind") = Kind::Relu);
    m.def("scale", py::overload_cast<torch::Tensor, double>(&scale));
    m.def("scale", py::overload_cast<torch::Tensor, torch::Tensor>(&scale));
    m.def("twice", &twice);
    m.def("strict", &strict, py::arg("n").noconvert());
    m.def("index_error", []() { TORCH_CHECK_INDEX(false, "no such index"); });
    m.def("invalid", []() { throw std::invalid_argument("not valid"); });
    m.def("told", [](py::object x) { return py::str(py::type::handle_of(x)); });
}
'''
ext = load_inline(name="cpp_own_module_classes", cpp_sources=[source])


def caught(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except Exception as e:
        return f"{type(e).__name__}: {str(e).partition('Invoked with')[0]}"


class ModelNew(nn.Module):
    def forward(self, x):
        averager = ext.Averager(x)
        first = averager.update(x + 1).clone()
        averager.mean = x
        return [
            first, averager.update(2 * x), averager.mean, averager.momentum, ext.Averager(x, momentum=1).momentum,
            caught(ext.Averager, x, 0), caught(setattr, averager, "mean", 3),
            ext.act(x), ext.act(x, kind=ext.kind("gelu")), caught(ext.act, x, 1), str(ext.kind("relu")),
            ext.scale(x, 2), ext.scale(x, x[0]), ext.twice(torch.cos, x), ext.twice(lambda y: y + 1, x),
            caught(ext.scale, x, "2").partition("types are")[0], caught(ext.strict, 2), caught(ext.strict, 2.0).partition("supported")[0],
            caught(ext.index_error), caught(ext.invalid), ext.told([1, "a"]), ext.told(None),
        ]


def get_inputs():
    return [torch.randn(3, 4)]


def get_init_inputs():
    return []
