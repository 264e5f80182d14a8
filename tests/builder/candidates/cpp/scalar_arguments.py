import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <cstdint>

double numbers(int a, int64_t b, float c, double d, bool e, unsigned int f, uint8_t g, int16_t h, size_t i, long long j) {
    return a + b * 2 + c + d + e + f + g + h + i + j;
}
std::string text(std::string a, const std::string& b) { return a + b; }
torch::Tensor scalar(torch::Tensor x, at::Scalar s, const c10::Scalar& t) { return x * s + t + (s.isFloatingPoint() ? s.toDouble() : s.to<int64_t>() + 1); }
torch::Tensor typed(torch::IntArrayRef shape, at::ScalarType dtype, torch::Device device, c10::optional<at::Layout> layout) { return torch::zeros(shape, torch::TensorOptions().dtype(dtype).device(device)); }
int64_t sum_ints(const std::vector<int>& v, at::IntArrayRef w) { int64_t s = 0; for (int i : v) s += i; for (auto i : w) s += i; return s; }
at::ScalarType dtype_of(torch::Tensor x) { return x.scalar_type(); }
torch::Device device_of_tensor(torch::Tensor x) { return x.device(); }
at::Scalar item_of(torch::Tensor x) { return x.item(); }
at::MemoryFormat format_of(torch::Tensor x) { return x.suggest_memory_format(); }
bool nothing() { return true; }
char letter(char c) { return c + 1; }
'''
names = ["numbers", "text", "scalar", "typed", "sum_ints", "dtype_of", "device_of_tensor", "item_of", "format_of", "nothing"]
ext = load_inline(name="cpp_scalar_arguments", cpp_sources=source, functions=names)


def told(function, *arguments):
    try:
        return function(*arguments)
    except RuntimeError as error:  # torch 2.13 cannot convert a Scalar argument
        return str(error)


class ModelNew(nn.Module):
    def forward(self, x):
        return [
            ext.numbers(1, 2, 3, 4.5, True, 6, 7, 8, 9, 10), ext.text("a", "é"), told(ext.scalar, x, 2, 0.5), told(ext.scalar, x, True, 3),
            ext.typed([2, 3], torch.int32, torch.device("cpu"), None), ext.sum_ints([1, 2], (3, 4)), ext.dtype_of(x), ext.device_of_tensor(x),
            ext.item_of(x.sum()) > -1e9, ext.item_of(torch.tensor(3)), ext.format_of(x), ext.nothing(), ext.numbers.__doc__, ext.nothing.__name__,
            ext.numbers.__module__, type(ext.text).__name__, ext.__name__,
        ]


def get_inputs():
    return [torch.randn(3)]


def get_init_inputs():
    return []
