// Owns torch::indexing: Slice, None, Ellipsis, and Tensor::index with them. Leaves gathering by
// tensors to aten::index, to which it hands what is left after the views are taken.
#pragma once
#include "tensor.h"

namespace at::indexing {

struct EllipsisIndexType {};
inline constexpr EllipsisIndexType Ellipsis{};
inline constexpr std::nullopt_t None = std::nullopt;

struct Slice {
  Slice(std::optional<int64_t> start = {}, std::optional<int64_t> stop = {},
        std::optional<int64_t> step = {})
      : start_(start), stop_(stop), step_(step.value_or(1)) {}
  std::optional<int64_t> start_, stop_;
  int64_t step_;
};

struct TensorIndex {
  enum class Kind { None, Ellipsis, Integer, Boolean, Slice, Tensor };
  TensorIndex(std::nullopt_t) : kind(Kind::None) {}
  TensorIndex(EllipsisIndexType) : kind(Kind::Ellipsis) {}
  TensorIndex(const char* text) : kind(Kind::Ellipsis) {
    TORCH_CHECK_VALUE(std::strcmp(text, "...") == 0,
                      "Expected \"...\" to represent an ellipsis index, but got \"", text, "\"");
  }
  TensorIndex(int64_t i) : kind(Kind::Integer), integer(i) {}
  TensorIndex(int i) : TensorIndex(static_cast<int64_t>(i)) {}
  template <class T, class = std::enable_if_t<std::is_same_v<bool, T>>>
  TensorIndex(T b) : kind(Kind::Boolean), boolean(b) {}
  TensorIndex(Slice s) : kind(Kind::Slice), slice(s) {}
  TensorIndex(Tensor t) : kind(Kind::Tensor), tensor(std::move(t)) {}
  Kind kind;
  int64_t integer = 0;
  bool boolean = false;
  Slice slice;
  Tensor tensor;
};

namespace ra {
inline Tensor select(const Tensor& t, int64_t dim, int64_t i, int64_t position) {
  TORCH_CHECK_INDEX(!(i == 0 && dim == 0 && t.dim() == 0),
                    "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
                    "`tensor.item<T>()` in C++ to "
                    "convert a 0-dim tensor to a number");
  const int64_t size = t.size(dim);
  TORCH_CHECK_INDEX(i >= -size && i < size, "index ", i, " is out of bounds for dimension ",
                    position, " with size ", size);
  RA_CALL(Tensor, "aten::select", "int", t, dim, i);
}
inline Tensor slice(const Tensor& t, int64_t dim, const Slice& s) {
  RA_CALL(Tensor, "aten::slice", "Tensor", t, dim, s.start_, s.stop_, s.step_);
}
inline Tensor unsqueeze(const Tensor& t, int64_t dim) {
  RA_CALL(Tensor, "aten::unsqueeze", "", t, dim);
}
// True picks the one element of the new dimension, false picks none.
inline Tensor boolean(const Tensor& like, bool value) {
  const int64_t shape[] = {value ? 1 : 0};
  RA_CALL(Tensor, "aten::zeros", "", IntArrayRef(shape), ScalarType::Long, std::nullopt,
          like.device(), std::nullopt);
}

struct Viewed {
  Tensor view;
  c10::List<std::optional<Tensor>> tensors;  // one per dimension of the view; none: all of it
  bool gathers = false;
};
inline Viewed views(const Tensor& self, ArrayRef<TensorIndex> indices) {
  int64_t specified = 0;
  for (const auto& i : indices) {
    using K = TensorIndex::Kind;
    if (i.kind == K::Integer || i.kind == K::Slice) ++specified;
    if (i.kind == K::Tensor)
      specified +=
          i.tensor.scalar_type() == ScalarType::Bool || i.tensor.scalar_type() == ScalarType::Byte
              ? i.tensor.dim()
              : 1;
  }
  TORCH_CHECK_INDEX(specified <= self.dim(), "too many indices for tensor of dimension ",
                    self.dim());
  Viewed out{self, {}, false};
  int64_t dim = 0;
  const auto put = [&](const Tensor& t) {
    out.tensors.resize(static_cast<size_t>(dim));
    out.tensors.emplace_back(t);
    out.gathers = true;
  };
  int64_t position = 0;
  for (const auto& i : indices) {
    switch (i.kind) {
      case TensorIndex::Kind::Integer:
        out.view = select(out.view, dim, i.integer, position);
        break;
      case TensorIndex::Kind::Slice:
        out.view = slice(out.view, dim, i.slice);
        ++dim;
        break;
      case TensorIndex::Kind::Ellipsis:
        dim += self.dim() - specified;
        break;
      case TensorIndex::Kind::None:
        out.view = unsqueeze(out.view, dim);
        ++dim;
        break;
      case TensorIndex::Kind::Boolean:
        out.view = unsqueeze(out.view, dim);
        put(boolean(self, i.boolean));
        ++dim;
        break;
      case TensorIndex::Kind::Tensor:
        if (i.tensor.dim() == 0 && c10::isIntegralType(i.tensor.scalar_type(), true) &&
            i.tensor.scalar_type() != ScalarType::Bool) {
          out.view = select(out.view, dim, i.tensor.item<int64_t>(), position);
        } else {
          put(i.tensor);
          ++dim;
        }
        break;
    }
    ++position;
  }
  return out;
}
inline Tensor alias(const Tensor& t) { RA_CALL(Tensor, "aten::alias", "", t); }
inline Tensor gather(const Viewed& v) {
  RA_CALL(Tensor, "aten::index", "Tensor", v.view, v.tensors);
}
inline void scatter(const Viewed& v, const Tensor& values) {
  if (!v.gathers) {
    RA_RUN("aten::copy_", "", v.view, values, false);
    return;
  }
  RA_RUN("aten::index_put_", "", v.view, v.tensors, values, false);
}
inline Tensor scalar_like(const Tensor& t, const Scalar& s) {
  RA_CALL(Tensor, "aten::full", "", IntArrayRef(std::initializer_list<int64_t>{}), s,
          t.scalar_type(), std::nullopt, t.device(), std::nullopt);
}
}  // namespace ra
}  // namespace at::indexing

namespace at {
inline Tensor Tensor::index(ArrayRef<indexing::TensorIndex> indices) const {
  TORCH_CHECK_INDEX(!indices.empty(),
                    "Passing an empty index list to Tensor::index() is not valid syntax");
  const auto v = indexing::ra::views(*this, indices);
  if (v.gathers) return indexing::ra::gather(v);
  return v.view.is_same(*this) ? indexing::ra::alias(v.view) : v.view;
}
inline Tensor Tensor::index(std::initializer_list<indexing::TensorIndex> indices) const {
  return index(ArrayRef<indexing::TensorIndex>(indices));
}
inline Tensor& Tensor::index_put_(ArrayRef<indexing::TensorIndex> indices, const Tensor& values) {
  TORCH_CHECK_INDEX(!indices.empty(),
                    "Passing an empty index list to Tensor::index_put_() is not valid syntax");
  indexing::ra::scatter(indexing::ra::views(*this, indices), values);
  return *this;
}
inline Tensor& Tensor::index_put_(ArrayRef<indexing::TensorIndex> indices, const Scalar& value) {
  return index_put_(indices, indexing::ra::scalar_like(*this, value));
}
inline Tensor& Tensor::index_put_(std::initializer_list<indexing::TensorIndex> indices,
                                  const Tensor& values) {
  return index_put_(ArrayRef<indexing::TensorIndex>(indices), values);
}
inline Tensor& Tensor::index_put_(std::initializer_list<indexing::TensorIndex> indices,
                                  const Scalar& value) {
  return index_put_(ArrayRef<indexing::TensorIndex>(indices), value);
}
}  // namespace at
