// Owns torch's plain types: dtypes, devices, layouts, array references, and their names and
// printing. Leaves tensors, errors and scalars to their own headers.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "abi.h"
#include "macros.h"

namespace c10 {

using std::in_place;
using std::make_optional;
using std::nullopt;
using std::nullopt_t;
using std::optional;
using string_view = std::string_view;
using DeviceIndex = int8_t;

struct Half;
struct BFloat16;
struct Float8_e4m3fn;
struct Float8_e5m2;
struct Float8_e4m3fnuz;
struct Float8_e5m2fnuz;
struct Float8_e8m0fnu;
struct Float4_e2m1fn_x2;
template <class T>
struct complex;

// ---------------------------------------------------------------------------------------- dtypes

// clang-format off
#define RA_FORALL_DTYPES(_)                                                                        \
  _(uint8_t, Byte, 0) _(int8_t, Char, 1) _(int16_t, Short, 2) _(int, Int, 3) _(int64_t, Long, 4)   \
  _(c10::Half, Half, 5) _(float, Float, 6) _(double, Double, 7)                                    \
  _(c10::complex<c10::Half>, ComplexHalf, 8) _(c10::complex<float>, ComplexFloat, 9)               \
  _(c10::complex<double>, ComplexDouble, 10) _(bool, Bool, 11) _(c10::BFloat16, BFloat16, 15)      \
  _(c10::Float8_e5m2, Float8_e5m2, 23) _(c10::Float8_e4m3fn, Float8_e4m3fn, 24)                    \
  _(c10::Float8_e5m2fnuz, Float8_e5m2fnuz, 25) _(c10::Float8_e4m3fnuz, Float8_e4m3fnuz, 26)        \
  _(uint16_t, UInt16, 27) _(uint32_t, UInt32, 28) _(uint64_t, UInt64, 29)                          \
  _(c10::Float8_e8m0fnu, Float8_e8m0fnu, 44) _(c10::Float4_e2m1fn_x2, Float4_e2m1fn_x2, 45)
// clang-format on

enum class ScalarType : int8_t {
#define RA_ENUM(type, name, number) name = number,
  RA_FORALL_DTYPES(RA_ENUM)
#undef RA_ENUM
      QInt8 = 12,
  QUInt8 = 13,
  QInt32 = 14,
  QUInt4x2 = 16,
  QUInt2x4 = 17,
  Bits1x8 = 18,
  Bits2x4 = 19,
  Bits4x2 = 20,
  Bits8 = 21,
  Bits16 = 22,
  Undefined = 46,
  NumOptions = 47
};

template <class T>
struct CppTypeToScalarType;  // incomplete for types that torch has no dtype for
template <ScalarType S>
struct ScalarTypeToCPPType;
#define RA_MAP(type_, name, number)                                                            \
  template <>                                                                                  \
  struct CppTypeToScalarType<type_> : std::integral_constant<ScalarType, ScalarType::name> {}; \
  template <>                                                                                  \
  struct ScalarTypeToCPPType<ScalarType::name> {                                               \
    using type = type_;                                                                        \
  };
RA_FORALL_DTYPES(RA_MAP)
#undef RA_MAP
template <ScalarType S>
using ScalarTypeToCPPTypeT = typename ScalarTypeToCPPType<S>::type;
namespace impl {
using c10::ScalarTypeToCPPType;
using c10::ScalarTypeToCPPTypeT;
}  // namespace impl

inline const char* toString(ScalarType t) {
  switch (t) {
#define RA_NAME(type, name, number) \
  case ScalarType::name:            \
    return #name;
    RA_FORALL_DTYPES(RA_NAME)
#undef RA_NAME
    case ScalarType::QInt8:
      return "QInt8";
    case ScalarType::QUInt8:
      return "QUInt8";
    case ScalarType::QInt32:
      return "QInt32";
    case ScalarType::Undefined:
      return "Undefined";
    default:
      return "UNKNOWN_SCALAR";
  }
}
inline size_t elementSize(ScalarType t) {
  switch (t) {
    case ScalarType::Double:
    case ScalarType::Long:
    case ScalarType::UInt64:
    case ScalarType::ComplexFloat:
      return 8;
    case ScalarType::ComplexDouble:
      return 16;
    case ScalarType::Float:
    case ScalarType::Int:
    case ScalarType::UInt32:
    case ScalarType::ComplexHalf:
      return 4;
    case ScalarType::Half:
    case ScalarType::BFloat16:
    case ScalarType::Short:
    case ScalarType::UInt16:
      return 2;
    default:
      return 1;
  }
}
inline bool isFloat8Type(ScalarType t) {
  return (t >= ScalarType::Float8_e5m2 && t <= ScalarType::Float8_e4m3fnuz) ||
         t == ScalarType::Float8_e8m0fnu;
}
inline bool isReducedFloatingType(ScalarType t) {
  return t == ScalarType::Half || t == ScalarType::BFloat16 || isFloat8Type(t) ||
         t == ScalarType::Float4_e2m1fn_x2;
}
inline bool isFloatingType(ScalarType t) {
  return t == ScalarType::Double || t == ScalarType::Float || isReducedFloatingType(t);
}
inline bool isComplexType(ScalarType t) {
  return t == ScalarType::ComplexHalf || t == ScalarType::ComplexFloat ||
         t == ScalarType::ComplexDouble;
}
inline bool isIntegralType(ScalarType t, bool include_bool) {
  const bool integral = (t >= ScalarType::Byte && t <= ScalarType::Long) ||
                        (t >= ScalarType::UInt16 && t <= ScalarType::UInt64);
  return integral || (include_bool && t == ScalarType::Bool);
}
[[deprecated]] inline bool isIntegralType(ScalarType t) { return isIntegralType(t, false); }
inline bool isSignedType(ScalarType t) {
  return t != ScalarType::Byte && t != ScalarType::Bool && t != ScalarType::Float8_e8m0fnu &&
         !(t >= ScalarType::UInt16 && t <= ScalarType::UInt64);
}
inline ScalarType toOpaque(ScalarType t) { return t; }
ScalarType promoteTypes(ScalarType a, ScalarType b);
inline bool canCast(ScalarType from, ScalarType to) {
  if (isComplexType(from) && !isComplexType(to)) return false;
  if (isFloatingType(from) && isIntegralType(to, false)) return false;
  return from == ScalarType::Bool || to != ScalarType::Bool;
}

}  // namespace c10

namespace caffe2 {
// What Tensor::dtype() returns; compares with a ScalarType as torch's does.
class TypeMeta {
  c10::ScalarType type_ = c10::ScalarType::Undefined;

 public:
  constexpr TypeMeta() noexcept = default;
  constexpr explicit TypeMeta(c10::ScalarType type, int) noexcept : type_(type) {}
  TypeMeta& operator=(c10::ScalarType type) noexcept {
    type_ = type;
    return *this;
  }
  template <class T>
  static TypeMeta Make() {
    return TypeMeta(c10::CppTypeToScalarType<T>::value, 0);
  }
  static TypeMeta fromScalarType(c10::ScalarType type) { return TypeMeta(type, 0); }
  c10::ScalarType toScalarType() const { return type_; }
  bool isScalarType() const noexcept { return true; }
  bool isScalarType(c10::ScalarType type) const noexcept { return type_ == type; }
  size_t itemsize() const noexcept { return c10::elementSize(type_); }
  std::string_view name() const noexcept {
    switch (type_) {
      case c10::ScalarType::Byte:
        return "unsigned char";
      case c10::ScalarType::Char:
        return "signed char";
      case c10::ScalarType::Short:
        return "short int";
      case c10::ScalarType::Int:
        return "int";
      case c10::ScalarType::Long:
        return "long int";
      case c10::ScalarType::Half:
        return "c10::Half";
      case c10::ScalarType::Float:
        return "float";
      case c10::ScalarType::Double:
        return "double";
      case c10::ScalarType::Bool:
        return "bool";
      case c10::ScalarType::BFloat16:
        return "c10::BFloat16";
      case c10::ScalarType::ComplexFloat:
        return "c10::complex<float>";
      case c10::ScalarType::ComplexDouble:
        return "c10::complex<double>";
      case c10::ScalarType::UInt16:
        return "short unsigned int";
      case c10::ScalarType::UInt32:
        return "unsigned int";
      case c10::ScalarType::UInt64:
        return "long unsigned int";
      case c10::ScalarType::Float8_e5m2:
        return "c10::Float8_e5m2";
      case c10::ScalarType::Float8_e4m3fn:
        return "c10::Float8_e4m3fn";
      case c10::ScalarType::Float8_e5m2fnuz:
        return "c10::Float8_e5m2fnuz";
      case c10::ScalarType::Float8_e4m3fnuz:
        return "c10::Float8_e4m3fnuz";
      case c10::ScalarType::Float8_e8m0fnu:
        return "c10::Float8_e8m0fnu";
      case c10::ScalarType::Float4_e2m1fn_x2:
        return "c10::Float4_e2m1fn_x2";
      default:
        return "nullptr (uninitialized)";
    }
  }
  template <class T>
  bool Match() const {
    return *this == Make<T>();
  }
  friend bool operator==(TypeMeta a, TypeMeta b) noexcept { return a.type_ == b.type_; }
  friend bool operator!=(TypeMeta a, TypeMeta b) noexcept { return a.type_ != b.type_; }
};
}  // namespace caffe2

namespace c10 {
using caffe2::TypeMeta;
inline TypeMeta scalarTypeToTypeMeta(ScalarType t) { return TypeMeta(t, 0); }
inline ScalarType typeMetaToScalarType(TypeMeta t) { return t.toScalarType(); }
inline std::optional<ScalarType> optTypeMetaToScalarType(std::optional<TypeMeta> t) {
  if (!t) return std::nullopt;
  return t->toScalarType();
}
inline bool operator==(ScalarType t, TypeMeta m) noexcept { return m.isScalarType(t); }
inline bool operator==(TypeMeta m, ScalarType t) noexcept { return m.isScalarType(t); }
inline bool operator!=(ScalarType t, TypeMeta m) noexcept { return !(t == m); }
inline bool operator!=(TypeMeta m, ScalarType t) noexcept { return !(m == t); }

// --------------------------------------------------------------------------------------- devices

enum class DeviceType : int8_t {
  CPU = 0,
  CUDA = 1,
  MKLDNN = 2,
  OPENGL = 3,
  OPENCL = 4,
  IDEEP = 5,
  HIP = 6,
  FPGA = 7,
  MAIA = 8,
  XLA = 9,
  Vulkan = 10,
  Metal = 11,
  XPU = 12,
  MPS = 13,
  Meta = 14,
  HPU = 15,
  VE = 16,
  Lazy = 17,
  IPU = 18,
  MTIA = 19,
  PrivateUse1 = 20,
  COMPILE_TIME_MAX_DEVICE_TYPES = 21
};
constexpr DeviceType kCPU = DeviceType::CPU;
constexpr DeviceType kCUDA = DeviceType::CUDA;
constexpr DeviceType kMeta = DeviceType::Meta;
constexpr DeviceType kMPS = DeviceType::MPS;
constexpr DeviceType kXPU = DeviceType::XPU;
constexpr DeviceType kHIP = DeviceType::HIP;
constexpr DeviceType kXLA = DeviceType::XLA;

inline std::string DeviceTypeName(DeviceType t, bool lower_case = false) {
  const char* names[] = {"CPU",  "CUDA", "MKLDNN", "OPENGL", "OPENCL", "IDEEP", "HIP",
                         "FPGA", "MAIA", "XLA",    "VULKAN", "METAL",  "XPU",   "MPS",
                         "META", "HPU",  "VE",     "LAZY",   "IPU",    "MTIA",  "PRIVATEUSEONE"};
  std::string name = names[static_cast<int>(t)];
  if (lower_case)
    for (auto& c : name) c = static_cast<char>(c + 32);
  return name;
}

struct Device {
  using Type = DeviceType;
  /* implicit */ Device(DeviceType type, DeviceIndex index = -1) : type_(type), index_(index) {}
  /* implicit */ Device(const std::string& text);
  Device(const char* text) : Device(std::string(text)) {}
  bool operator==(const Device& o) const noexcept { return type_ == o.type_ && index_ == o.index_; }
  bool operator!=(const Device& o) const noexcept { return !(*this == o); }
  void set_index(DeviceIndex index) { index_ = index; }
  DeviceType type() const noexcept { return type_; }
  DeviceIndex index() const noexcept { return index_; }
  bool has_index() const noexcept { return index_ != -1; }
  bool is_cuda() const noexcept { return type_ == DeviceType::CUDA; }
  bool is_cpu() const noexcept { return type_ == DeviceType::CPU; }
  bool is_meta() const noexcept { return type_ == DeviceType::Meta; }
  bool is_mps() const noexcept { return type_ == DeviceType::MPS; }
  bool is_xpu() const noexcept { return type_ == DeviceType::XPU; }
  bool is_hip() const noexcept { return type_ == DeviceType::HIP; }
  bool supports_as_strided() const noexcept { return true; }
  std::string str() const {
    auto text = DeviceTypeName(type_, true);
    return has_index() ? text + ":" + std::to_string(index_) : text;
  }

 private:
  DeviceType type_;
  DeviceIndex index_ = -1;
};

enum class Layout : int8_t {
  Strided,
  Sparse,
  SparseCsr,
  Mkldnn,
  SparseCsc,
  SparseBsr,
  SparseBsc,
  Jagged,
  NumOptions
};
constexpr auto kStrided = Layout::Strided;
constexpr auto kSparse = Layout::Sparse;
constexpr auto kSparseCsr = Layout::SparseCsr;
constexpr auto kMkldnn = Layout::Mkldnn;
inline const char* layout_name(Layout l) {
  const char* names[] = {"Strided",   "Sparse",    "SparseCsr", "Mkldnn",
                         "SparseCsc", "SparseBsr", "SparseBsc", "Jagged"};
  return names[static_cast<int>(l)];
}

enum class MemoryFormat : int8_t { Contiguous, Preserve, ChannelsLast, ChannelsLast3d, NumOptions };
inline const char* memory_format_name(MemoryFormat f) {
  const char* names[] = {"Contiguous", "Preserve", "ChannelsLast", "ChannelsLast3d"};
  return names[static_cast<int>(f)];
}
inline MemoryFormat get_contiguous_memory_format() { return MemoryFormat::Contiguous; }
#define LEGACY_CONTIGUOUS_MEMORY_FORMAT ::c10::get_contiguous_memory_format()

// Of <c10/util/accumulate.h>.
template <class Iterator>
int64_t sum_integers(Iterator begin, Iterator end) {
  int64_t sum = 0;
  for (; begin != end; ++begin) sum += *begin;
  return sum;
}
template <class Items>
int64_t sum_integers(const Items& items) {
  return sum_integers(items.begin(), items.end());
}
template <class Iterator>
int64_t multiply_integers(Iterator begin, Iterator end) {
  int64_t product = 1;
  for (; begin != end; ++begin) product *= *begin;
  return product;
}
template <class Items>
int64_t multiply_integers(const Items& items) {
  return multiply_integers(items.begin(), items.end());
}
template <class Items>
int64_t numelements_from_dim(int k, const Items& dims) {
  return k > static_cast<int>(dims.size()) ? 1 : multiply_integers(dims.begin() + k, dims.end());
}
template <class Items>
int64_t numelements_to_dim(int k, const Items& dims) {
  return multiply_integers(dims.begin(), dims.begin() + k);
}

// -------------------------------------------------------------------------------- array references

template <class T>
class ArrayRef {
 public:
  using iterator = const T*;
  using const_iterator = const T*;
  using size_type = size_t;
  using value_type = T;
  using reverse_iterator = std::reverse_iterator<iterator>;

  constexpr ArrayRef() : Data(nullptr), Length(0) {}
  constexpr ArrayRef(const T& one) : Data(&one), Length(1) {}
  constexpr ArrayRef(const T* data, size_t length) : Data(data), Length(length) {}
  constexpr ArrayRef(const T* begin, const T* end) : Data(begin), Length(end - begin) {}
  template <class Container, class U = decltype(std::declval<Container>().data()),
            class = std::enable_if_t<std::is_same_v<U, T*> || std::is_same_v<U, T const*>>>
  ArrayRef(const Container& container) : Data(container.data()), Length(container.size()) {}
  template <class A>
  ArrayRef(const std::vector<T, A>& items) : Data(items.data()), Length(items.size()) {
    static_assert(!std::is_same_v<T, bool>,
                  "ArrayRef<bool> cannot be constructed from a std::vector<bool> bitfield.");
  }
  template <size_t N>
  constexpr ArrayRef(const T (&items)[N]) : Data(items), Length(N) {}
  constexpr ArrayRef(const std::initializer_list<T>& items)
      : Data(items.begin() == items.end() ? nullptr : items.begin()), Length(items.size()) {}

  constexpr iterator begin() const { return Data; }
  constexpr iterator end() const { return Data + Length; }
  constexpr const_iterator cbegin() const { return Data; }
  constexpr const_iterator cend() const { return Data + Length; }
  constexpr reverse_iterator rbegin() const { return reverse_iterator(end()); }
  constexpr reverse_iterator rend() const { return reverse_iterator(begin()); }
  constexpr bool empty() const { return Length == 0; }
  constexpr const T* data() const { return Data; }
  constexpr size_t size() const { return Length; }
  const T& front() const;
  const T& back() const;
  const T& at(size_t index) const;
  ArrayRef<T> slice(size_t first, size_t count) const;
  ArrayRef<T> slice(size_t first) const { return slice(first, Length - first); }
  ArrayRef<T> drop_front(size_t count = 1) const { return slice(count); }
  constexpr const T& operator[](size_t index) const { return Data[index]; }
  constexpr bool equals(ArrayRef other) const {
    if (Length != other.Length) return false;
    for (size_t i = 0; i < Length; ++i)
      if (!(Data[i] == other.Data[i])) return false;
    return true;
  }
  std::vector<T> vec() const { return std::vector<T>(Data, Data + Length); }
  template <class U>
  std::enable_if_t<std::is_same_v<U, T>, ArrayRef<T>>& operator=(U&& temporary) = delete;
  template <class U>
  std::enable_if_t<std::is_same_v<U, T>, ArrayRef<T>>& operator=(std::initializer_list<U>) = delete;

 protected:
  const T* Data;
  size_t Length;
};
template <class T>
bool operator==(ArrayRef<T> a, ArrayRef<T> b) {
  return a.equals(b);
}
template <class T>
bool operator!=(ArrayRef<T> a, ArrayRef<T> b) {
  return !a.equals(b);
}
template <class T>
bool operator==(const std::vector<T>& a, ArrayRef<T> b) {
  return ArrayRef<T>(a).equals(b);
}
template <class T>
bool operator!=(const std::vector<T>& a, ArrayRef<T> b) {
  return !ArrayRef<T>(a).equals(b);
}
template <class T>
bool operator==(ArrayRef<T> a, const std::vector<T>& b) {
  return a.equals(ArrayRef<T>(b));
}
template <class T>
bool operator!=(ArrayRef<T> a, const std::vector<T>& b) {
  return !a.equals(ArrayRef<T>(b));
}
template <class T>
ArrayRef(const T&) -> ArrayRef<T>;
template <class T>
ArrayRef(const T*, size_t) -> ArrayRef<T>;
template <class T, class A>
ArrayRef(const std::vector<T, A>&) -> ArrayRef<T>;
template <class T>
ArrayRef<T> makeArrayRef(const std::vector<T>& items) {
  return items;
}
template <class T>
ArrayRef<T> makeArrayRef(const T* data, size_t length) {
  return ArrayRef<T>(data, length);
}
using IntArrayRef = ArrayRef<int64_t>;
using IntList = ArrayRef<int64_t>;

// An optional ArrayRef that also takes what an ArrayRef takes.
template <class T>
class OptionalArrayRef {
 public:
  constexpr OptionalArrayRef() noexcept = default;
  constexpr OptionalArrayRef(std::nullopt_t) noexcept {}
  constexpr OptionalArrayRef(const std::optional<ArrayRef<T>>& other) noexcept : held_(other) {}
  constexpr OptionalArrayRef(const T& one) noexcept : held_(ArrayRef<T>(one)) {}  // refers to `one`
  template <class U = ArrayRef<T>,
            class = std::enable_if_t<!std::is_same_v<std::decay_t<U>, OptionalArrayRef> &&
                                     !std::is_same_v<std::decay_t<U>, std::in_place_t> &&
                                     std::is_constructible_v<ArrayRef<T>, U&&> &&
                                     std::is_convertible_v<U&&, ArrayRef<T>> &&
                                     !std::is_convertible_v<U&&, T>>>
  constexpr OptionalArrayRef(U&& value) : held_(std::forward<U>(value)) {}
  constexpr OptionalArrayRef(const std::initializer_list<T>& items) : held_(ArrayRef<T>(items)) {}
  constexpr bool has_value() const noexcept { return held_.has_value(); }
  constexpr explicit operator bool() const noexcept { return held_.has_value(); }
  const ArrayRef<T>& value() const { return held_.value(); }
  const ArrayRef<T>& operator*() const { return *held_; }
  const ArrayRef<T>* operator->() const { return &*held_; }
  template <class U>
  ArrayRef<T> value_or(U&& other) const {
    return held_.value_or(std::forward<U>(other));
  }

 private:
  std::optional<ArrayRef<T>> held_;
};
using OptionalIntArrayRef = OptionalArrayRef<int64_t>;
// Sizes are never symbolic here: nothing traces through a built extension.
using SymInt = int64_t;
using SymIntArrayRef = IntArrayRef;

inline IntArrayRef fromIntArrayRefSlow(IntArrayRef a) { return a; }
inline OptionalIntArrayRef fromIntArrayRefSlow(OptionalIntArrayRef a) { return a; }

// for (const auto i : c10::irange(n))
template <class I>
struct integer_range {
  struct iterator {
    I value;
    C10_HOST_DEVICE I operator*() const { return value; }
    C10_HOST_DEVICE iterator& operator++() {
      ++value;
      return *this;
    }
    C10_HOST_DEVICE bool operator==(const iterator& o) const { return value == o.value; }
    C10_HOST_DEVICE bool operator!=(const iterator& o) const { return !(value == o.value); }
  };
  C10_HOST_DEVICE iterator begin() const { return {first}; }
  C10_HOST_DEVICE iterator end() const { return {last}; }
  I first, last;
};
template <class I>
C10_HOST_DEVICE integer_range<I> irange(I end) {
  return {static_cast<I>(0), end < 0 ? static_cast<I>(0) : end};
}
template <class I, class J>
C10_HOST_DEVICE integer_range<J> irange(I begin, J end) {
  return {static_cast<J>(begin), static_cast<J>(begin) > end ? static_cast<J>(begin) : end};
}

// Small inline storage is an optimisation the stand-in does without.
template <class T, unsigned N>
class SmallVector : public std::vector<T> {
 public:
  using std::vector<T>::vector;
  SmallVector() = default;
  SmallVector(ArrayRef<T> items) : std::vector<T>(items.begin(), items.end()) {}
};
template <unsigned N>
using SmallDimVector = SmallVector<int64_t, N>;
using DimVector = SmallVector<int64_t, 5>;

}  // namespace c10
