// Owns torch::tensor({...}) and torch::from_blob. Leaves every other factory to torch's own
// declarations.
#pragma once
#include <memory>

#include "tensor.h"

namespace at {

namespace ra {
inline Tensor from_memory(void* data, IntArrayRef sizes, const int64_t* strides,
                          const TensorOptions& options, void (*free)(void*) = nullptr,
                          void* context = nullptr) {
  ra_value wanted[2] = {};
  if (options.has_dtype())
    wanted[0] = {RA_DTYPE, {static_cast<int64_t>(c10::typeMetaToScalarType(options.dtype()))}, {0}};
  if (options.has_device())
    wanted[1] = {
        RA_DEVICE, {static_cast<int64_t>(options.device().type())}, {options.device().index()}};
  void* out;
  c10::ra::check(ra_from_blob(data, sizes.data(), strides, static_cast<int64_t>(sizes.size()),
                              wanted, free, context, &out));
  auto tensor = Tensor::adopt(out);
  if (options.requires_grad()) tensor.set_requires_grad(true);
  return tensor;
}
// What is freed, and how.
template <class F>
struct Freed {
  F free;
  void* data;
  static void now(void* self) {
    const std::unique_ptr<Freed> freed(static_cast<Freed*>(self));
    freed->free(freed->data);
  }
};
template <class F>
using IfFrees = std::enable_if_t<std::is_invocable_v<F&, void*>>;
}  // namespace ra

inline Tensor from_blob(void* data, IntArrayRef sizes, const TensorOptions& options = {}) {
  return ra::from_memory(data, sizes, nullptr, options);
}
inline Tensor from_blob(void* data, IntArrayRef sizes, IntArrayRef strides,
                        const TensorOptions& options = {}) {
  return ra::from_memory(data, sizes, strides.data(), options);
}

template <class F, class = ra::IfFrees<F>>
Tensor from_blob(void* data, IntArrayRef sizes, const F& deleter,
                 const TensorOptions& options = {}) {
  return ra::from_memory(data, sizes, nullptr, options, &ra::Freed<F>::now,
                         new ra::Freed<F>{deleter, data});
}
template <class F, class = ra::IfFrees<F>>
Tensor from_blob(void* data, IntArrayRef sizes, IntArrayRef strides, const F& deleter,
                 const TensorOptions& options = {}) {
  return ra::from_memory(data, sizes, strides.data(), options, &ra::Freed<F>::now,
                         new ra::Freed<F>{deleter, data});
}

// A number, or a nested list of numbers, all of one type.
class TensorData {
 public:
  TensorData() : sizes_{0} {}
  TensorData(std::initializer_list<TensorData> items) : sizes_{static_cast<int64_t>(items.size())} {
    if (items.size() == 0) return;
    const auto& first = *items.begin();
    type_ = first.type_;
    sizes_.insert(sizes_.end(), first.sizes_.begin(), first.sizes_.end());
    for (const auto& item : items) {
      TORCH_CHECK(item.sizes_ == first.sizes_,
                  "Expected all sub-lists to have sizes: ", IntArrayRef(first.sizes_),
                  ", but got sub-list with sizes: ", IntArrayRef(item.sizes_));
      TORCH_CHECK(item.type_ == type_,
                  "Expected all elements of the tensor to have the same scalar type: ", type_,
                  ", but got element of scalar type: ", item.type_);
      values_.insert(values_.end(), item.values_.begin(), item.values_.end());
    }
  }
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  TensorData(T value) : type_(c10::CppTypeToScalarType<T>::value), values_{Scalar(value)} {}
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  TensorData(ArrayRef<T> items)
      : sizes_{static_cast<int64_t>(items.size())}, type_(c10::CppTypeToScalarType<T>::value) {
    for (const T& item : items) values_.emplace_back(item);
  }
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  TensorData(const std::vector<T>& items)
      : sizes_{static_cast<int64_t>(items.size())}, type_(c10::CppTypeToScalarType<T>::value) {
    for (const T item : items) values_.emplace_back(item);
  }
  Tensor make(const TensorOptions& wanted) const;

 private:
  std::vector<int64_t> sizes_;
  ScalarType type_ = ScalarType::Float;
  std::vector<Scalar> values_;
};

inline Tensor TensorData::make(const TensorOptions& wanted) const {
  // As torch: floating literals have the default dtype, integral ones int64.
  const auto natural = c10::isFloatingType(type_)  ? ScalarType::Float
                       : type_ == ScalarType::Bool ? ScalarType::Bool
                                                   : ScalarType::Long;
  const auto dtype = wanted.has_dtype() ? c10::typeMetaToScalarType(wanted.dtype()) : natural;
  std::vector<double> reals;
  std::vector<int64_t> integers;
  const bool real = c10::isFloatingType(type_);
  for (const auto& v : values_) {
    if (real)
      reals.push_back(v.toDouble());
    else
      integers.push_back(v.toLong());
  }
  void* memory = real ? static_cast<void*>(reals.data()) : static_cast<void*>(integers.data());
  const auto raw = from_blob(memory, sizes_,
                             TensorOptions().dtype(real ? ScalarType::Double : ScalarType::Long));
  return raw.to_options(wanted.requires_grad(std::nullopt).dtype(dtype), false, true, std::nullopt);
}
inline Tensor tensor(const TensorData& data, const TensorOptions& options = {}) {
  auto out = data.make(options);
  if (options.requires_grad()) out.set_requires_grad(true);
  return out;
}

}  // namespace at
