// Owns what <ATen/ExpandUtils.h> says about shapes that broadcast, and expanding tensors to them.
// Leaves the overloads that name their caller to torch's own build.
#pragma once
#include <algorithm>

#include "tensor.h"

namespace at {

template <class Sizes = std::vector<int64_t>>
Sizes infer_size_impl(IntArrayRef a, IntArrayRef b) {
  Sizes out(std::max(a.size(), b.size()));
  for (int64_t i = static_cast<int64_t>(out.size()) - 1; i >= 0; --i) {
    const auto from_end = out.size() - static_cast<size_t>(i);
    const int64_t size_a = from_end > a.size() ? 1 : a[a.size() - from_end];
    const int64_t size_b = from_end > b.size() ? 1 : b[b.size() - from_end];
    TORCH_CHECK(size_a == size_b || size_a == 1 || size_b == 1, "The size of tensor a (", size_a,
                ") must match the size of tensor b (", size_b, ") at non-singleton dimension ", i);
    out[static_cast<size_t>(i)] = size_a == 1 ? size_b : size_a;
  }
  return out;
}
inline std::vector<int64_t> infer_size(IntArrayRef a, IntArrayRef b) {
  return infer_size_impl(a, b);
}
inline DimVector infer_size_dimvector(IntArrayRef a, IntArrayRef b) {
  return infer_size_impl<DimVector>(a, b);
}
inline bool are_expandable(IntArrayRef a, IntArrayRef b) {
  for (size_t i = 1; i <= std::min(a.size(), b.size()); ++i) {
    const auto size_a = a[a.size() - i], size_b = b[b.size() - i];
    if (size_a != size_b && size_a != 1 && size_b != 1) return false;
  }
  return true;
}
inline bool is_expandable_to(IntArrayRef shape, IntArrayRef desired) {
  if (shape.size() > desired.size()) return false;
  for (size_t i = 1; i <= shape.size(); ++i) {
    const auto size = shape[shape.size() - i];
    if (size != desired[desired.size() - i] && size != 1) return false;
  }
  return true;
}

namespace ra {
inline Tensor expanded(const Tensor& t, IntArrayRef sizes) {
  if (t.sizes().equals(sizes)) return t;
  RA_CALL(Tensor, "aten::expand", "", t, sizes, false);
}
inline Tensor summed(const Tensor& t, OptionalIntArrayRef dims, bool keepdim) {
  RA_CALL(Tensor, "aten::sum", "dim_IntList", t, dims, keepdim, std::optional<ScalarType>());
}
inline Tensor reshaped(const Tensor& t, IntArrayRef shape, bool smaller, bool copied) {
  if (!smaller && !copied) return t;
  if (!smaller) {
    RA_CALL(Tensor, "aten::clone", "", t, std::optional<MemoryFormat>());
  }
  if (copied) {
    RA_CALL(Tensor, "aten::view_copy", "", t, shape);
  }
  RA_CALL(Tensor, "aten::view", "", t, shape);
}
}  // namespace ra

inline c10::MaybeOwned<Tensor> expand_size(const Tensor& t, IntArrayRef sizes) {
  return c10::MaybeOwned<Tensor>(ra::expanded(t, sizes));
}
inline c10::MaybeOwned<Tensor> expand_size(Tensor&& t, IntArrayRef sizes) = delete;
inline c10::MaybeOwned<Tensor> expand_inplace(const Tensor& t, const Tensor& other) {
  return expand_size(other, t.sizes());
}
inline c10::MaybeOwned<Tensor> expand_inplace(const Tensor& t, Tensor&& other) = delete;
inline std::tuple<c10::MaybeOwned<Tensor>, c10::MaybeOwned<Tensor>> expand_outplace(
    const Tensor& a, const Tensor& b) {
  const auto sizes = infer_size(a.sizes(), b.sizes());
  return {expand_size(a, sizes), expand_size(b, sizes)};
}
std::tuple<c10::MaybeOwned<Tensor>, c10::MaybeOwned<Tensor>> expand_outplace(
    Tensor&&, const Tensor&) = delete;
std::tuple<c10::MaybeOwned<Tensor>, c10::MaybeOwned<Tensor>> expand_outplace(const Tensor&,
                                                                             Tensor&&) = delete;
std::tuple<c10::MaybeOwned<Tensor>, c10::MaybeOwned<Tensor>> expand_outplace(Tensor&&,
                                                                             Tensor&&) = delete;
inline std::vector<Tensor> expand_outplace(TensorList list) {
  std::vector<int64_t> sizes;
  bool first = true;
  for (const auto& t : list) {
    if (!t.defined()) continue;
    sizes = first ? t.sizes().vec() : infer_size(sizes, t.sizes());
    first = false;
  }
  std::vector<Tensor> out;
  for (const auto& t : list) out.push_back(t.defined() ? ra::expanded(t, sizes) : t);
  return out;
}
// Precondition, as in torch: is_expandable_to(shape, t.sizes()).
inline Tensor sum_to(Tensor t, IntArrayRef shape, bool always_return_non_view = false) {
  const auto leading = t.dim() - static_cast<int64_t>(shape.size());
  std::vector<int64_t> reduced;
  for (int64_t i = 0; i < t.dim(); ++i)
    if (i < leading || (shape[static_cast<size_t>(i - leading)] == 1 && t.size(i) != 1))
      reduced.push_back(i);
  if (shape.empty()) return ra::summed(t, std::nullopt, false);
  if (!reduced.empty()) t = ra::summed(t, reduced, true);
  return ra::reshaped(t, shape, leading > 0, always_return_non_view);
}
// Where the shapes are lists in braces, torch's overloads for symbolic sizes fit as well.
bool is_expandable_to(std::initializer_list<int64_t>, std::initializer_list<int64_t>) = delete;
Tensor sum_to(Tensor, std::initializer_list<int64_t>, bool = false) = delete;

}  // namespace at
