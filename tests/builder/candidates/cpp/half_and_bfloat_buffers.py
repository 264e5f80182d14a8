import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = r'''
#include <torch/extension.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <ATen/OpMathType.h>
#include <ATen/AccumulateType.h>
#include <limits>

template <typename scalar_t>
void softmax_rows(const scalar_t* in, scalar_t* out, int64_t rows, int64_t cols) {
  using opmath_t = at::opmath_type<scalar_t>;
  using acc_t = at::acc_type<scalar_t, /*is_cuda=*/false>;
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      opmath_t top = -std::numeric_limits<opmath_t>::infinity();
      for (int64_t c = 0; c < cols; ++c) top = std::max(top, static_cast<opmath_t>(in[r * cols + c]));
      acc_t sum = 0;
      for (int64_t c = 0; c < cols; ++c) sum += std::exp(static_cast<opmath_t>(in[r * cols + c]) - top);
      for (int64_t c = 0; c < cols; ++c) out[r * cols + c] = static_cast<scalar_t>(std::exp(static_cast<opmath_t>(in[r * cols + c]) - top) / sum);
    }
  });
}
torch::Tensor softmax(const torch::Tensor& input) {
  const auto x = input.expect_contiguous();
  auto out = at::empty(x->sizes(), x->options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::ScalarType::Half, at::ScalarType::BFloat16, x->scalar_type(), "softmax", ([&] {
    softmax_rows<scalar_t>(x->const_data_ptr<scalar_t>(), out.mutable_data_ptr<scalar_t>(), x->size(0), x->numel() / x->size(0));
  }));
  return out;
}
torch::Tensor halves(torch::Tensor x) {
  auto h = x.to(torch::kHalf), b = x.to(at::kBFloat16);
  auto* hp = h.data_ptr<at::Half>();
  auto* bp = reinterpret_cast<c10::BFloat16*>(b.data_ptr());
  float s = 0;
  for (int64_t i = 0; i < x.numel(); ++i) s += static_cast<float>(hp[i]) * bp[i];
  hp[0] = c10::Half(1.5f); bp[0] = s > 0 ? 2.0f : 3.0f;
  hp[1] += hp[0]; bp[1] = bp[1] * bp[0] - 1;
  return torch::cat({h.to(torch::kFloat32), b.to(torch::kFloat32), torch::full({1}, float(std::numeric_limits<at::Half>::max()))});
}
torch::Tensor any_dtype(torch::Tensor x) {
  auto out = torch::zeros({1}, x.options().dtype(torch::kFloat64).requires_grad(false));
  AT_DISPATCH_ALL_TYPES_AND3(at::kBool, at::kHalf, at::kBFloat16, x.scalar_type(), "any_dtype", [&]() -> void {
    auto a = x.accessor<scalar_t, 1>();
    for (int i = 0; i < a.size(0); ++i) out[0] += static_cast<double>(a[i]);
  });
  return out;
}
'''
ext = load_inline(name="cpp_half_and_bfloat_buffers", cpp_sources=source, functions=["softmax", "halves", "any_dtype"])


class ModelNew(nn.Module):
    def forward(self, x):
        types = (torch.float, torch.half, torch.bfloat16, torch.int32, torch.uint8, torch.bool, torch.int64)
        return ([ext.softmax(x.to(t)) for t in types[:3]], ext.halves(x.flatten()),
                [ext.any_dtype(x.abs().flatten().to(t)) for t in types])


def get_inputs():
    return [torch.randn(3, 5)]


def get_init_inputs():
    return []
