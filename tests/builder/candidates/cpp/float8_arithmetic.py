import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <ATen/AccumulateType.h>
#include <ATen/Dispatch_v2.h>
#include <ATen/NumericUtils.h>
#include <ATen/OpMathType.h>

template <class T>
std::vector<double> limits() {
    using L = std::numeric_limits<T>;
    return {(double)(float)L::min(), (double)(float)L::max(), (double)(float)L::lowest(),
            (double)(float)L::epsilon(), (double)L::digits, (double)L::has_infinity};
}
std::vector<std::vector<double>> all_limits() {
    return {limits<c10::Float8_e4m3fn>(), limits<c10::Float8_e5m2>(),
            limits<c10::Float8_e4m3fnuz>(), limits<c10::Float8_e5m2fnuz>()};
}

// Every operation on every pair of the 256, as bits.
template <class T>
torch::Tensor table() {
    auto out = torch::empty({6, 256, 256}, torch::kUInt8);
    auto* o = out.data_ptr<uint8_t>();
    for (int i = 0; i < 256; ++i)
        for (int j = 0; j < 256; ++j) {
            T a(i, T::from_bits()), b(j, T::from_bits());
            T each[6] = {a + b, a - b, a * b, a / b, -a * 2.f, T(at::_isnan(b) ? 1.f : 0.f)};
            each[4] += a;
            for (int k = 0; k < 6; ++k) o[(k * 256 + i) * 256 + j] = each[k].x;
        }
    return out;
}
std::vector<torch::Tensor> tables() { return {table<at::Float8_e4m3fn>(), table<at::Float8_e5m2>()}; }

torch::Tensor summed(torch::Tensor x, double scale) {
    double sum = 0;
    AT_DISPATCH_V2(x.scalar_type(), "summed", AT_WRAP([&] {
        auto c = x.contiguous();
        const scalar_t* p = c.data_ptr<scalar_t>();
        at::acc_type<c10::Float8_e4m3fn, false> total = 0;
        for (int64_t i = 0; i < c.numel(); ++i)
            total += static_cast<at::opmath_type<scalar_t>>(p[i]) * static_cast<float>(scale);
        sum = static_cast<double>(total);
    }), AT_EXPAND(AT_FLOAT8_TYPES), AT_EXPAND(AT_FLOATING_TYPES), at::kHalf);
    at::Scalar half = c10::Float8_e5m2(0.5f);
    return torch::full({1}, sum) * half + x.to(at::kFloat).numel();
}

std::string told(torch::Tensor x) {
    auto type = x.scalar_type();
    std::ostringstream out;
    out << c10::Float8_e4m3fn(1.3f) << " " << c10::Float8_e5m2(-1e9f) << " " << type << " ";
    out << x.dtype().name() << c10::isFloat8Type(type) << at::isReducedFloatingType(type);
    out << c10::isSignedType(type) << at::toOpMathType(type) << c10::elementSize(type);
    return out.str();
}
'''
ext = load_inline(
    name="cpp_float8_arithmetic",
    cpp_sources=source,
    functions=["all_limits", "tables", "summed", "told"],
    extra_cflags=["-O2"],
)


class ModelNew(nn.Module):
    def forward(self, x):
        types = [
            torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
            torch.float8_e8m0fnu, torch.float32, torch.bfloat16,
        ]  # fmt: skip
        of_types = [ext.told(x.to(each)) for each in types]
        sums = [ext.summed(x.to(each), 0.5) for each in types[:-1]]
        return ext.all_limits(), ext.tables(), of_types, sums


def get_inputs():
    return [torch.linspace(-20, 20, 63).reshape(9, 7)]


def get_init_inputs():
    return []
