// Owns what <ATen/TensorUtils.h> checks about named arguments, in its wording. Leaves geometry that
// outlives its tensor to torch's own build.
#pragma once
#include "tensor.h"

namespace at {

struct TensorArg {
  const Tensor& tensor;
  const char* name;
  int pos;
  TensorArg(const Tensor& t, const char* n, int p) : tensor(t), name(n), pos(p) {}
  TensorArg(Tensor&&, const char*, int) = delete;
  const Tensor* operator->() const { return &tensor; }
  const Tensor& operator*() const { return tensor; }
};
// Made of a TensorArg only, so that the checks take what torch's take.
struct TensorGeometryArg {
  const Tensor& tensor;
  const char* name;
  int pos;
  TensorGeometryArg(TensorArg t) : tensor(t.tensor), name(t.name), pos(t.pos) {}
  const Tensor* operator->() const { return &tensor; }
  const Tensor& operator*() const { return tensor; }
};
using CheckedFrom = const char*;

namespace ra {
inline std::string told(const TensorGeometryArg& t) {
  return t.pos == 0 ? c10::str("'", t.name, "'") : c10::str("argument #", t.pos, " '", t.name, "'");
}
inline std::string checking(CheckedFrom c) {
  return c10::str(" (while checking arguments for ", c, ")");
}
template <class Check>
void check_all_same(CheckedFrom c, ArrayRef<TensorArg> tensors, Check check) {
  const TensorArg* first = nullptr;
  for (const auto& t : tensors) {
    if (!t->defined()) continue;
    if (first == nullptr)
      first = &t;
    else
      check(c, *first, t);
  }
}
}  // namespace ra

inline void checkDim(CheckedFrom c, const TensorGeometryArg& t, int64_t dim) {
  TORCH_CHECK(t->dim() == dim, "Expected ", dim, "-dimensional tensor, but got ", t->dim(),
              "-dimensional tensor for ", ra::told(t), ra::checking(c));
}
inline void checkDim(CheckedFrom c, const Tensor& tensor, const char* name, int pos, int64_t dim) {
  checkDim(c, TensorArg(tensor, name, pos), dim);
}
inline void checkDimRange(CheckedFrom c, const TensorGeometryArg& t, int64_t first, int64_t end) {
  TORCH_CHECK(t->dim() >= first && t->dim() < end, "Expected ", first, " to ", end - 1,
              " dimensions, but got ", t->dim(), "-dimensional tensor for ", ra::told(t),
              ra::checking(c));
}
inline void checkSameDim(CheckedFrom c, const TensorGeometryArg& a, const TensorGeometryArg& b) {
  TORCH_CHECK(a->dim() == b->dim(), "Expected tensor for ", ra::told(a),
              " to have the same dimension as tensor for ", ra::told(b), "; but ", a->dim(),
              " does not equal ", b->dim(), ra::checking(c));
}
inline void checkContiguous(CheckedFrom c, const TensorGeometryArg& t) {
  TORCH_CHECK(t->is_contiguous(), "Expected contiguous tensor, but got non-contiguous tensor for ",
              ra::told(t), ra::checking(c));
}
inline void checkAllContiguous(CheckedFrom c, ArrayRef<TensorArg> tensors) {
  for (const auto& t : tensors)
    if (t->defined()) checkContiguous(c, t);
}
inline void checkSize(CheckedFrom c, const TensorGeometryArg& t, IntArrayRef sizes) {
  checkDim(c, t, static_cast<int64_t>(sizes.size()));
  TORCH_CHECK(t->sizes().equals(sizes), "Expected tensor of size ", sizes,
              ", but got tensor of size ", t->sizes(), " for ", ra::told(t), ra::checking(c));
}
inline void checkSize(CheckedFrom c, const TensorGeometryArg& t, int64_t dim, int64_t size) {
  TORCH_CHECK(t->size(dim) == size, "Expected tensor to have size ", size, " at dimension ", dim,
              ", but got size ", t->size(dim), " for ", ra::told(t), ra::checking(c));
}
inline void checkNumel(CheckedFrom c, const TensorGeometryArg& t, int64_t numel) {
  TORCH_CHECK(t->numel() == numel, "Expected tensor for ", ra::told(t), " to have ", numel,
              " elements; but it actually has ", t->numel(), " elements", ra::checking(c));
}
inline void checkSameNumel(CheckedFrom c, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(a->numel() == b->numel(), "Expected tensor for ", ra::told(a),
              " to have same number of elements as tensor for ", ra::told(b), "; but ", a->numel(),
              " does not equal ", b->numel(), ra::checking(c));
}
inline void checkScalarType(CheckedFrom c, const TensorArg& t, ScalarType type) {
  TORCH_CHECK(t->scalar_type() == type, "Expected tensor for ", ra::told(t),
              " to have scalar type ", toString(type), "; but got ", t->toString(), " instead",
              ra::checking(c));
}
inline void checkScalarTypes(CheckedFrom c, const TensorArg& t, ArrayRef<ScalarType> types) {
  std::string names;
  for (const auto type : types) {
    if (t->scalar_type() == type) return;
    names += (names.empty() ? "" : ", ") + std::string(toString(type));
  }
  TORCH_CHECK(false, "Expected tensor for ", ra::told(t), " to have one of the following ",
              "scalar types: ", names, "; but got ", t->toString(), " instead", ra::checking(c));
}
inline void checkSameGPU(CheckedFrom c, const TensorArg& a, const TensorArg& b) {
  std::string on_cpu;
  for (const auto* t : {&a, &b})
    if ((*t)->is_cpu()) on_cpu += "Tensor for " + ra::told(*t) + " is on CPU, ";
  TORCH_CHECK(on_cpu.empty(), on_cpu, "but expected it to be on GPU", ra::checking(c));
  TORCH_CHECK(a->get_device() == b->get_device(), "Expected tensor for ", ra::told(a),
              " to have the same device as tensor for ", ra::told(b), "; but device ",
              static_cast<int>(a->get_device()), " does not equal ",
              static_cast<int>(b->get_device()), ra::checking(c));
}
inline void checkSameType(CheckedFrom c, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(a->toString() == b->toString(), "Expected tensor for ", ra::told(a),
              " to have the same type as tensor for ", ra::told(b), "; but type ", a->toString(),
              " does not equal ", b->toString(), ra::checking(c));
}
inline void checkSameSize(CheckedFrom c, const TensorArg& a, const TensorArg& b) {
  TORCH_CHECK(a->sizes().equals(b->sizes()), "Expected tensor for ", ra::told(a),
              " to have same size as tensor for ", ra::told(b), "; but ", a->sizes(),
              " does not equal ", b->sizes(), ra::checking(c));
}
inline void checkDefined(CheckedFrom c, const TensorArg& t) {
  TORCH_CHECK(t->defined(), "Expected tensor for ", ra::told(t),
              " to be non-null, but it was undefined ", ra::checking(c));
}
inline void checkAllDefined(CheckedFrom c, ArrayRef<TensorArg> tensors) {
  for (const auto& t : tensors) checkDefined(c, t);
}
#define RA_CHECK_ALL(name, one)                                  \
  inline void name(CheckedFrom c, ArrayRef<TensorArg> tensors) { \
    ra::check_all_same(c, tensors, one);                         \
  }
RA_CHECK_ALL(checkAllSameNumel, checkSameNumel)
RA_CHECK_ALL(checkAllSameGPU, checkSameGPU)
RA_CHECK_ALL(checkAllSameType, checkSameType)
RA_CHECK_ALL(checkAllSameSize, checkSameSize)
#undef RA_CHECK_ALL

inline void checkDeviceType(CheckedFrom c, ArrayRef<Tensor> tensors, DeviceType type) {
  for (const auto& t : tensors)
    if (t.defined())
      TORCH_CHECK(t.device().type() == type, "Expected tensor to have ", type,
                  " DeviceType, but got tensor with ", t.device().type(), " DeviceType",
                  ra::checking(c));
}
inline void checkLayout(CheckedFrom c, const Tensor& t, Layout layout) {
  TORCH_CHECK(!t.defined() || t.layout() == layout, "Expected tensor to have ", layout,
              " Layout, but got tensor with ", t.layout(), " Layout", ra::checking(c));
}
inline void checkLayout(CheckedFrom c, ArrayRef<Tensor> tensors, Layout layout) {
  for (const auto& t : tensors) checkLayout(c, t, layout);
}
inline void* maybe_data_ptr(const Tensor& t) { return t.defined() ? t.data_ptr() : nullptr; }
inline void* maybe_data_ptr(const TensorArg& t) { return maybe_data_ptr(t.tensor); }
inline void check_dim_size(const Tensor& t, int64_t dim, int64_t dim_size, int64_t size) {
  TORCH_CHECK(t.dim() == dim && t.size(dim_size) == size, "Expected a tensor of dimension ", dim,
              " and tensor.size[", dim_size, "] == ", size, " but got: dimension ", t.dim(),
              " and tensor.size[", dim_size, "] = ", t.size(dim_size));
}

}  // namespace at
