import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <iostream>
#include <sstream>
#include <iomanip>

struct Point { int x, y; };
std::ostream& operator<<(std::ostream& out, const Point& p) { return out << "(" << p.x << ", " << p.y << ")"; }

std::string print(torch::Tensor x) {
    std::ostringstream out;
    out << x << "\n" << x.sizes() << x.strides() << x.dtype() << x.scalar_type() << x.device() << at::kCUDA << x.layout() << x.options().dtype();
    out << std::fixed << std::setprecision(2) << x.sum().item<float>() << at::Scalar(2) << at::Scalar(2.5) << c10::str("a", 1, Point{1, 2}, 2.25f);
    std::cout << "";
    return out.str();
}
torch::Tensor check(torch::Tensor x) {
    TORCH_CHECK(x.dim() == 1, "point ", Point{3, 4}, " and tensor ", x, " and ", std::vector<int64_t>{1, 2}, " and ", x.sizes().vec());
    return x;
}
'''
ext = load_inline(name="cpp_printing", cpp_sources=source, functions=["print", "check"])


class ModelNew(nn.Module):
    def forward(self, x):
        try:
            ext.check(x)
        except RuntimeError as error:
            return ext.print(x), str(error)
        return None


def get_inputs():
    return [torch.arange(6.0).view(2, 3) / 4]


def get_init_inputs():
    return []
