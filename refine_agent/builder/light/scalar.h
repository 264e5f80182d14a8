// Owns c10::Scalar, one number of any dtype, and TensorOptions, what a new tensor shall be.
// Leaves tensors to tensor.h.
#pragma once
#include "errors.h"

namespace c10 {

namespace ra {
template <class To, class From>
To converted(From value, const char* name) {
  if constexpr (!std::is_same_v<To, bool>) {
    const bool integral = std::is_integral_v<To>;
    const auto low = static_cast<double>(std::numeric_limits<To>::lowest());
    const auto high = static_cast<double>(std::numeric_limits<To>::max());
    const auto v = static_cast<double>(value);
    const bool finite = v - v == 0;
    if ((finite && (v < low || v > high)) || (integral && !finite))
      fail(RA_ERROR, str("value cannot be converted to type ", name, " without overflow"));
  }
  return static_cast<To>(value);
}
}  // namespace ra

class Scalar {
 public:
  Scalar() : Scalar(static_cast<int64_t>(0)) {}
#define RA_FROM_INTEGER(type) \
  Scalar(type value) : value_{RA_INT, {static_cast<int64_t>(value)}, {0}} {}
  RA_FROM_INTEGER(uint8_t)
  RA_FROM_INTEGER(int8_t)
  RA_FROM_INTEGER(int16_t)
  RA_FROM_INTEGER(uint16_t)
  RA_FROM_INTEGER(int)
  RA_FROM_INTEGER(uint32_t)
  RA_FROM_INTEGER(long)
  RA_FROM_INTEGER(unsigned long)
  RA_FROM_INTEGER(long long)
#undef RA_FROM_INTEGER
  Scalar(float value) : Scalar(static_cast<double>(value)) {}
  Scalar(double value) : value_{RA_DOUBLE, {}, {0}} { value_.d = value; }
  Scalar(Half value);
  Scalar(BFloat16 value);
  Scalar(Float8_e4m3fn value);
  Scalar(Float8_e5m2 value);
  Scalar(Float8_e4m3fnuz value);
  Scalar(Float8_e5m2fnuz value);
  Scalar(Float8_e8m0fnu value);
  template <class T, std::enable_if_t<std::is_same_v<T, bool>, bool>* = nullptr>
  Scalar(T value) : value_{RA_BOOL, {value}, {0}} {}
  explicit Scalar(const ra_value& value) : value_(value) {}

#define RA_TO(type, name) \
  type to##name() const { return number<type>(#type); }
  RA_TO(uint8_t, Byte)
  RA_TO(int8_t, Char)
  RA_TO(int16_t, Short)
  RA_TO(int, Int)
  RA_TO(int64_t, Long)
  RA_TO(float, Float)
  RA_TO(double, Double)
  RA_TO(bool, Bool)
  RA_TO(uint16_t, UInt16)
  RA_TO(uint32_t, UInt32)
  RA_TO(uint64_t, UInt64)
#undef RA_TO
  Half toHalf() const;
  BFloat16 toBFloat16() const;
  template <class T>
  T to() const {
    if constexpr (std::is_arithmetic_v<T>)
      return number<T>("T");
    else
      return T(static_cast<float>(toDouble()));
  }
  bool isFloatingPoint() const { return value_.tag == RA_DOUBLE; }
  bool isIntegral(bool include_bool = false) const {
    return value_.tag == RA_INT || (include_bool && isBoolean());
  }
  bool isComplex() const { return value_.tag == RA_COMPLEX; }
  bool isBoolean() const { return value_.tag == RA_BOOL; }
  bool isSymbolic() const { return false; }
  ScalarType type() const {
    return isComplex()         ? ScalarType::ComplexDouble
           : isFloatingPoint() ? ScalarType::Double
           : isBoolean()       ? ScalarType::Bool
                               : ScalarType::Long;
  }
  bool equal(double number) const { return !isBoolean() && toDouble() == number; }
  Scalar operator-() const {
    if (isBoolean())
      ra::fail(RA_ERROR, "torch boolean negative, the `-` operator, is not supported.");
    return isFloatingPoint() ? Scalar(-value_.d) : Scalar(-value_.i);
  }
  const ra_value& ra() const { return value_; }

 private:
  template <class T>
  T number(const char* name) const {
    if (value_.tag == RA_DOUBLE || value_.tag == RA_COMPLEX)
      return c10::ra::converted<T>(value_.d, name);
    if (value_.tag == RA_BOOL) return static_cast<T>(value_.i != 0);
    return c10::ra::converted<T>(value_.i, name);
  }
  ra_value value_;
};

inline ra::Text& ra::Text::operator<<(const Scalar& s) {
  if (s.isFloatingPoint()) return *this << s.toDouble();
  if (s.isBoolean()) return *this << (s.toBool() ? "true" : "false");
  return *this << s.toLong();
}
#ifdef RA_USES_STREAMS
inline std::ostream& operator<<(std::ostream& out, const Scalar& s) {
  return s.isFloatingPoint() ? out << s.toDouble() : out << str(s);
}
#endif

struct TensorOptions {
  TensorOptions() = default;
  /* implicit */ TensorOptions(Layout layout) { layout_ = layout; }
  template <class T, class = std::enable_if_t<std::is_same_v<std::decay_t<T>, Device>>>
  /* implicit */ TensorOptions(T&& device) {
    device_ = device;
  }
  template <class... A, class = std::enable_if_t<std::is_constructible_v<Device, A&&...>>>
  /* implicit */ TensorOptions(A&&... args) {
    device_ = Device(std::forward<A>(args)...);
  }
  /* implicit */ TensorOptions(TypeMeta dtype) { dtype_ = dtype; }
  /* implicit */ TensorOptions(ScalarType dtype) { dtype_ = scalarTypeToTypeMeta(dtype); }
  /* implicit */ TensorOptions(MemoryFormat format) { memory_format_ = format; }

  TensorOptions device(std::optional<Device> d) const noexcept {
    auto r = *this;
    r.device_ = d;
    return r;
  }
  template <class... A>
  TensorOptions device(A&&... args) const noexcept {
    auto r = *this;
    r.device_.emplace(std::forward<A>(args)...);
    return r;
  }
  TensorOptions device_index(DeviceIndex index) const noexcept {
    return device(DeviceType::CUDA, index);
  }
  TensorOptions dtype(std::optional<TypeMeta> t) const noexcept {
    auto r = *this;
    r.dtype_ = t;
    return r;
  }
  TensorOptions dtype(std::optional<ScalarType> t) const noexcept {
    auto r = *this;
    r.dtype_ = t ? std::optional<TypeMeta>(scalarTypeToTypeMeta(*t)) : std::nullopt;
    return r;
  }
  template <class T>
  TensorOptions& dtype() {
    dtype_ = TypeMeta::Make<T>();
    return *this;
  }
  TensorOptions layout(std::optional<Layout> l) const noexcept {
    auto r = *this;
    r.layout_ = l;
    return r;
  }
  TensorOptions requires_grad(std::optional<bool> b) const noexcept {
    auto r = *this;
    r.requires_grad_ = b;
    return r;
  }
  TensorOptions pinned_memory(std::optional<bool> b) const noexcept {
    auto r = *this;
    r.pinned_memory_ = b;
    return r;
  }
  TensorOptions memory_format(std::optional<MemoryFormat> f) const noexcept {
    auto r = *this;
    r.memory_format_ = f;
    return r;
  }

  Device device() const noexcept { return device_.value_or(Device(DeviceType::CPU)); }
  bool has_device() const noexcept { return device_.has_value(); }
  std::optional<Device> device_opt() const noexcept { return device_; }
  DeviceIndex device_index() const noexcept { return device().index(); }
  TypeMeta dtype() const noexcept {
    return dtype_.value_or(scalarTypeToTypeMeta(ScalarType::Float));
  }
  bool has_dtype() const noexcept { return dtype_.has_value(); }
  std::optional<TypeMeta> dtype_opt() const noexcept { return dtype_; }
  Layout layout() const noexcept { return layout_.value_or(Layout::Strided); }
  bool has_layout() const noexcept { return layout_.has_value(); }
  std::optional<Layout> layout_opt() const noexcept { return layout_; }
  bool requires_grad() const noexcept { return requires_grad_.value_or(false); }
  bool has_requires_grad() const noexcept { return requires_grad_.has_value(); }
  std::optional<bool> requires_grad_opt() const noexcept { return requires_grad_; }
  bool pinned_memory() const noexcept { return pinned_memory_.value_or(false); }
  bool has_pinned_memory() const noexcept { return pinned_memory_.has_value(); }
  std::optional<bool> pinned_memory_opt() const noexcept { return pinned_memory_; }
  bool has_memory_format() const noexcept { return memory_format_.has_value(); }
  std::optional<MemoryFormat> memory_format_opt() const noexcept { return memory_format_; }
  bool is_sparse() const { return layout() == Layout::Sparse; }
  TensorOptions merge_in(TensorOptions o) const noexcept {
    auto r = *this;
    if (o.device_) r.device_ = o.device_;
    if (o.dtype_) r.dtype_ = o.dtype_;
    if (o.layout_) r.layout_ = o.layout_;
    if (o.requires_grad_) r.requires_grad_ = o.requires_grad_;
    if (o.pinned_memory_) r.pinned_memory_ = o.pinned_memory_;
    if (o.memory_format_) r.memory_format_ = o.memory_format_;
    return r;
  }
  TensorOptions merge_memory_format(std::optional<MemoryFormat> f) const noexcept {
    return f ? memory_format(f) : *this;
  }

 private:
  std::optional<Device> device_;
  std::optional<TypeMeta> dtype_;
  std::optional<Layout> layout_;
  std::optional<MemoryFormat> memory_format_;
  std::optional<bool> requires_grad_, pinned_memory_;
};

inline ra::Text& ra::Text::operator<<(const TensorOptions& o) {
  const auto unless = [](bool given) { return given ? "" : " (default)"; };
  const auto word = [](bool b) { return b ? "true" : "false"; };
  *this << "TensorOptions(dtype=" << o.dtype() << unless(o.has_dtype());
  *this << ", device=" << o.device() << unless(o.has_device());
  *this << ", layout=" << o.layout() << unless(o.has_layout());
  *this << ", requires_grad=" << word(o.requires_grad()) << unless(o.has_requires_grad());
  *this << ", pinned_memory=" << word(o.pinned_memory()) << unless(o.has_pinned_memory());
  *this << ", memory_format=";
  if (o.has_memory_format()) return *this << *o.memory_format_opt() << ")";
  return *this << "(nullopt))";
}
#ifdef RA_USES_STREAMS
inline std::ostream& operator<<(std::ostream& out, const TensorOptions& o) {
  out.setf(std::ios_base::boolalpha);  // as torch leaves it
  return out << str(o);
}
#endif

inline TensorOptions dtype(TypeMeta t) { return TensorOptions().dtype(t); }
inline TensorOptions dtype(ScalarType t) { return TensorOptions().dtype(t); }
template <class T>
TensorOptions dtype() {
  return TensorOptions().dtype(TypeMeta::Make<T>());
}
inline TensorOptions layout(Layout l) { return TensorOptions().layout(l); }
inline TensorOptions device(Device d) { return TensorOptions().device(d); }
inline TensorOptions device_index(DeviceIndex index) { return TensorOptions().device_index(index); }
inline TensorOptions requires_grad(bool b = true) { return TensorOptions().requires_grad(b); }
inline TensorOptions memory_format(MemoryFormat f) { return TensorOptions().memory_format(f); }

namespace impl {
inline std::optional<MemoryFormat> check_tensor_options_and_extract_memory_format(
    const TensorOptions& options, std::optional<MemoryFormat> memory_format) {
  TORCH_CHECK(!options.requires_grad_opt() || !*options.requires_grad_opt(),
              "Operators taking TensorOptions cannot take a TensorOptions with "
              "options.requires_grad set as true. This isn't implemented yet.");
  TORCH_CHECK(!(options.has_memory_format() && memory_format),
              "Cannot set memory_format both in TensorOptions and explicit argument; please delete "
              "the redundant setter.");
  return memory_format ? memory_format : options.memory_format_opt();
}
}  // namespace impl

}  // namespace c10
