// Owns at::Tensor: one counted pointer to torch's own tensor, its metadata, data and operators.
// Leaves ATen's methods and functions to the wrappers that a candidate's names ask for.
#pragma once
#include <atomic>

#include "accessor.h"
#include "call.h"

namespace c10 {

// Memory and what frees it, or memory that somebody else frees.
class DataPtr {
 public:
  DataPtr() = default;
  DataPtr(void* memory, Device device) : memory_(memory), device_(device) {}
  DataPtr(void* memory, void (*free)(void*), Device device)
      : memory_(memory), free_(free), device_(device) {}
  DataPtr(DataPtr&& o) noexcept
      : memory_(std::exchange(o.memory_, nullptr)), free_(o.free_), device_(o.device_) {}
  DataPtr& operator=(DataPtr&& o) noexcept {
    std::swap(memory_, o.memory_);
    std::swap(free_, o.free_);
    device_ = o.device_;
    return *this;
  }
  ~DataPtr() { clear(); }
  void clear() {
    if (memory_ != nullptr && free_ != nullptr) free_(memory_);
    memory_ = nullptr;
  }
  void* get() const { return memory_; }
  void* mutable_get() { return memory_; }
  void* operator->() const { return memory_; }
  explicit operator bool() const { return memory_ != nullptr; }
  Device device() const { return device_; }
  bool operator==(std::nullptr_t) const { return memory_ == nullptr; }
  bool operator!=(std::nullptr_t) const { return memory_ != nullptr; }

 private:
  void* memory_ = nullptr;
  void (*free_)(void*) = nullptr;
  Device device_ = DeviceType::CPU;
};
struct Allocator {
  virtual ~Allocator() = default;
  virtual DataPtr allocate(size_t bytes) const = 0;
};

// Of <c10/core/TensorImpl.h>.
inline int64_t size_from_dim_(int k, IntArrayRef dims) {
  int64_t product = 1;
  for (size_t i = static_cast<size_t>(k); i < dims.size(); ++i) product *= dims[i];
  return product;
}
inline int64_t size_to_dim_(int k, IntArrayRef dims) {
  TORCH_CHECK(k >= 0 && static_cast<size_t>(k) <= dims.size());
  int64_t product = 1;
  for (int i = 0; i < k; ++i) product *= dims[static_cast<size_t>(i)];
  return product;
}

template <class T>
class MaybeOwned {
  T held_;

 public:
  explicit MaybeOwned(T t) : held_(std::move(t)) {}
  static MaybeOwned borrowed(const T& t) { return MaybeOwned(t); }
  static MaybeOwned owned(T t) { return MaybeOwned(std::move(t)); }
  const T& operator*() const { return held_; }
  const T* operator->() const { return &held_; }
};
}  // namespace c10

namespace c10 {
#define RA_CONSTANT(type, name, number) constexpr ScalarType k##name = ScalarType::name;
RA_FORALL_DTYPES(RA_CONSTANT)
#undef RA_CONSTANT
constexpr ScalarType kQInt8 = ScalarType::QInt8, kQUInt8 = ScalarType::QUInt8,
                     kQInt32 = ScalarType::QInt32;
}  // namespace c10

namespace at {
using namespace c10;  // as torch's macros header says it
using c10::ArrayRef;
using c10::BFloat16;
using c10::canCast;
using c10::CppTypeToScalarType;
using c10::Device;
using c10::device;
using c10::device_index;
using c10::DeviceIndex;
using c10::DeviceType;
using c10::DimVector;
using c10::dtype;
using c10::elementSize;
using c10::get_contiguous_memory_format;
using c10::Half;
using c10::IntArrayRef;
using c10::IntList;
using c10::irange;
using c10::isComplexType;
using c10::isFloatingType;
using c10::isIntegralType;
using c10::isReducedFloatingType;
using c10::isSignedType;
using c10::kCPU;
using c10::kCUDA;
using c10::kMeta;
using c10::kMkldnn;
using c10::kMPS;
using c10::kSparse;
using c10::kSparseCsr;
using c10::kStrided;
using c10::kXPU;
using c10::Layout;
using c10::layout;
using c10::maybe_wrap_dim;
using c10::maybe_wrap_dims;
using c10::memory_format;
using c10::MemoryFormat;
using c10::multiply_integers;
using c10::OptionalArrayRef;
using c10::OptionalIntArrayRef;
using c10::promoteTypes;
using c10::requires_grad;
using c10::Scalar;
using c10::ScalarType;
using c10::scalarTypeToTypeMeta;
using c10::SmallVector;
using c10::str;
using c10::sum_integers;
using c10::TensorOptions;
using c10::toString;
using c10::typeMetaToScalarType;
using std::nullopt;
using std::optional;

// What the deprecated Tensor::type() answers.
class DeprecatedTypeProperties {
 public:
  DeprecatedTypeProperties(DeviceType device, ScalarType type, bool sparse)
      : device_(device), type_(type), sparse_(sparse) {}
  ScalarType scalarType() const { return type_; }
  caffe2::TypeMeta typeMeta() const { return c10::scalarTypeToTypeMeta(type_); }
  DeviceType device_type() const { return device_; }
  bool is_cuda() const { return device_ == DeviceType::CUDA; }
  bool is_sparse() const { return sparse_; }
  std::string toString() const {
    return std::string(sparse_ ? "Sparse" : "") + c10::DeviceTypeName(device_) +
           c10::toString(type_) + "Type";
  }
  operator TensorOptions() const { return TensorOptions().dtype(type_).device(device_); }
  TensorOptions options(int16_t index = -1) const {
    return TensorOptions().dtype(type_).device(Device(device_, static_cast<DeviceIndex>(index)));
  }
  bool operator==(const DeprecatedTypeProperties& o) const {
    return device_ == o.device_ && type_ == o.type_;
  }
  bool operator!=(const DeprecatedTypeProperties& o) const { return !(*this == o); }

 private:
  DeviceType device_;
  ScalarType type_;
  bool sparse_;
};

namespace ra {
template <DeviceType device>
DeprecatedTypeProperties& properties(ScalarType type) {
  static auto known = [] {
    std::vector<DeprecatedTypeProperties> all;
    for (int i = 0; i < static_cast<int>(ScalarType::NumOptions); ++i)
      all.emplace_back(device, static_cast<ScalarType>(i), false);
    return all;
  }();
  return known.at(static_cast<size_t>(type));
}
}  // namespace ra
inline DeprecatedTypeProperties& CPU(ScalarType type) {
  return ra::properties<DeviceType::CPU>(type);
}
inline DeprecatedTypeProperties& CUDA(ScalarType type) {
  return ra::properties<DeviceType::CUDA>(type);
}

namespace indexing {
struct TensorIndex;
}

// Tensor::storage() for the few questions candidates ask it.
class Storage {
 public:
  explicit Storage(void* tensor) {
    int32_t type, index;
    c10::ra::check(ra_storage(tensor, &data_, &bytes_));
    c10::ra::check(ra_device(tensor, &type, &index));
    device_ = Device(static_cast<DeviceType>(type), static_cast<DeviceIndex>(index));
  }
  size_t nbytes() const { return static_cast<size_t>(bytes_); }
  const void* data() const { return data_; }
  void* mutable_data() const { return data_; }
  c10::DataPtr data_ptr() const { return {data_, device_}; }
  c10::DataPtr mutable_data_ptr() const { return data_ptr(); }
  Device device() const { return device_; }
  template <class T>
  T* data() const {
    return static_cast<T*>(data_);
  }
  bool is_alias_of(const Storage& o) const { return data_ == o.data_; }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
  Device device_ = DeviceType::CPU;
};

class Tensor {
 public:
  Tensor() noexcept
      : impl_(nullptr) {}  // not a default initialiser: default arguments below need it
  Tensor(const Tensor& o) : impl_(o.impl_) {
    if (impl_ != nullptr) ra_incref(impl_);
  }
  Tensor(Tensor&& o) noexcept : impl_(o.impl_) { o.impl_ = nullptr; }
  ~Tensor() {
    if (impl_ != nullptr) ra_decref(impl_);
  }
  Tensor& operator=(const Tensor& o) & {
    Tensor copy(o);
    std::swap(impl_, copy.impl_);
    return *this;
  }
  Tensor& operator=(Tensor&& o) & noexcept {
    std::swap(impl_, o.impl_);
    return *this;
  }
  // x[1] = 3 and x[1] = y write into x.
  Tensor& operator=(const Scalar& v) && {
    RA_RUN("aten::fill_", "Scalar", *this, v);
    return *this;
  }
  Tensor& operator=(const Tensor& o) && {
    RA_RUN("aten::copy_", "", *this, o, false);
    return *this;
  }
  Tensor& operator=(Tensor&& o) && {
    RA_RUN("aten::copy_", "", *this, o, false);
    return *this;
  }

  bool defined() const { return impl_ != nullptr; }
  void reset() { Tensor().swap(*this); }
  void swap(Tensor& o) noexcept { std::swap(impl_, o.impl_); }
  bool is_same(const Tensor& o) const noexcept { return impl_ == o.impl_; }
  size_t use_count() const noexcept { return static_cast<size_t>(ra_use_count(impl_)); }
  size_t weak_use_count() const noexcept { return static_cast<size_t>(ra_weak_use_count(impl_)); }
  bool is_uniquely_owned() const noexcept { return use_count() == 1; }
  c10::TensorImpl* unsafeGetTensorImpl() const { return static_cast<c10::TensorImpl*>(impl_); }

  int64_t dim() const { return number(ra_dim); }
  int64_t ndimension() const { return dim(); }
  int64_t numel() const { return number(ra_numel); }
  int64_t storage_offset() const { return number(ra_storage_offset); }
  int64_t element_size() const { return number(ra_itemsize); }
  size_t itemsize() const { return static_cast<size_t>(number(ra_itemsize)); }
  size_t nbytes() const { return static_cast<size_t>(numel() * element_size()); }
  IntArrayRef sizes() const { return array(ra_sizes); }
  IntArrayRef strides() const { return array(ra_strides); }
  int64_t size(int64_t dim) const {
    int64_t out;
    c10::ra::check(ra_size(impl_, dim, &out));
    return out;
  }
  int64_t stride(int64_t dim) const {
    int64_t out;
    c10::ra::check(ra_stride(impl_, dim, &out));
    return out;
  }
  IntArrayRef sym_sizes() const { return sizes(); }
  IntArrayRef sym_strides() const { return strides(); }
  int64_t sym_size(int64_t dim) const { return size(dim); }
  int64_t sym_numel() const { return numel(); }

  ScalarType scalar_type() const { return static_cast<ScalarType>(code(ra_dtype)); }
  caffe2::TypeMeta dtype() const { return c10::scalarTypeToTypeMeta(scalar_type()); }
  Layout layout() const { return static_cast<Layout>(code(ra_layout)); }
  Device device() const {
    int32_t type, index;
    c10::ra::check(ra_device(impl_, &type, &index));
    return Device(static_cast<DeviceType>(type), static_cast<DeviceIndex>(index));
  }
  DeviceIndex get_device() const { return device().index(); }
  bool is_cuda() const { return defined() && device().is_cuda(); }
  bool is_cpu() const { return defined() && device().is_cpu(); }
  bool is_meta() const { return defined() && device().is_meta(); }
  bool is_mps() const { return defined() && device().is_mps(); }
  bool is_xpu() const { return defined() && device().is_xpu(); }
  bool is_hip() const { return defined() && device().is_hip(); }
  bool is_floating_point() const { return c10::isFloatingType(scalar_type()); }
  bool is_complex() const { return c10::isComplexType(scalar_type()); }
  bool is_signed() const { return c10::isSignedType(scalar_type()); }
  DeprecatedTypeProperties type() const { return {device().type(), scalar_type(), is_sparse()}; }
  TensorOptions options() const {
    return TensorOptions().dtype(dtype()).device(device()).layout(layout());
  }
  std::string toString() const { return text(ra_kind_name); }

  bool is_contiguous(MemoryFormat f = MemoryFormat::Contiguous) const {
    int out;
    c10::ra::check(ra_is_contiguous(impl_, static_cast<int32_t>(f), &out));
    return out != 0;
  }
  Tensor contiguous(MemoryFormat f = MemoryFormat::Contiguous) const {
    void* out;
    c10::ra::check(ra_contiguous(impl_, static_cast<int32_t>(f), &out));
    return adopt(out);
  }
  c10::MaybeOwned<Tensor> expect_contiguous(MemoryFormat f = MemoryFormat::Contiguous) const&;
  MemoryFormat suggest_memory_format(bool exact = false) const {
    int32_t out;
    c10::ra::check(ra_suggest_memory_format(impl_, exact, &out));
    return static_cast<MemoryFormat>(out);
  }
#define RA_QUESTION(name) \
  bool name() const { return ask(#name); }
  RA_QUESTION(requires_grad)
  RA_QUESTION(is_leaf)
  RA_QUESTION(retains_grad)
  RA_QUESTION(is_view)
  RA_QUESTION(is_sparse)
  RA_QUESTION(is_sparse_csr)
  RA_QUESTION(is_quantized)
  RA_QUESTION(is_nested)
  RA_QUESTION(is_inference)
  RA_QUESTION(is_mkldnn)
  RA_QUESTION(is_conj)
  RA_QUESTION(is_neg)
  RA_QUESTION(has_storage)
  RA_QUESTION(is_non_overlapping_and_dense)
#undef RA_QUESTION
  const Tensor& set_requires_grad(bool value) const {
    c10::ra::check(ra_set_requires_grad(impl_, value));
    return *this;
  }
  Tensor conj() const {
    if (!is_complex()) return *this;
    RA_CALL(Tensor, "aten::_conj", "", *this);
  }
  Tensor& requires_grad_(bool value = true) const {
    RA_RUN("aten::requires_grad_", "", *this, value);
    return const_cast<Tensor&>(*this);
  }
  void retain_grad() const { RA_RUN("aten::retain_grad", "", *this); }
  Tensor grad() const {
    void* out;
    c10::ra::check(ra_grad(impl_, &out));
    return adopt(out);
  }
  void backward(const Tensor& gradient = {}, std::optional<bool> retain_graph = std::nullopt,
                bool create_graph = false) const {
    c10::ra::check(
        ra_backward(impl_, gradient.impl_, retain_graph ? *retain_graph : -1, create_graph));
  }
#ifdef RA_USES_CUDA
  template <class Stream>
  void record_stream(const Stream& s) const {
    c10::ra::check(ra_cuda_record_stream(impl_, s.device_index(), s.id()));
  }
#endif
  void set_data(const Tensor& other) const { RA_RUN("aten::set_data", "", *this, other); }
  int64_t output_nr() const { RA_CALL(int64_t, "aten::output_nr", "", *this); }
  int64_t _version() const { RA_CALL(int64_t, "aten::_version", "", *this); }
  Tensor tensor_data() const { return alias("tensor_data"); }
  Tensor variable_data() const { return alias("variable_data"); }
  Tensor data() const { return alias("data"); }
  Storage storage() const { return Storage(impl_); }
  bool is_alias_of(const Tensor& o) const { return storage().is_alias_of(o.storage()); }

  void* data_ptr() const { return pointer(1); }
  void* mutable_data_ptr() const { return pointer(1); }
  const void* const_data_ptr() const { return pointer(0); }
  // Declared for every type and defined for torch's own, as in torch.
  template <class T>
  T* data_ptr() const;
  template <class T>
  T* mutable_data_ptr() const;
  template <class T, std::enable_if_t<!std::is_const_v<T>, bool> = true>
  const T* const_data_ptr() const {
    return typed<T>(0);
  }
  template <class T, std::enable_if_t<std::is_const_v<T>, bool> = true>
  const std::remove_const_t<T>* const_data_ptr() const {
    return typed<std::remove_const_t<T>>(0);
  }
  template <class T>
  T* data() const {
    return data_ptr<T>();
  }
  template <class T>
  T item() const {
    return item().template to<T>();
  }
  Scalar item() const { RA_CALL(Scalar, "aten::item", "", *this); }

  template <class T, size_t N>
  TensorAccessor<T, N> accessor() const& {
    static_assert(N > 0, "accessor is used for indexing tensor, for scalars use *data_ptr<T>()");
    TORCH_CHECK(dim() == N, "TensorAccessor expected ", N, " dims but tensor has ", dim());
    return TensorAccessor<T, N>(elements<T>(), sizes().data(), strides().data());
  }
  template <class T, size_t N>
  TensorAccessor<T, N> accessor() && = delete;
  template <class T, size_t N, template <class U> class PtrTraits = DefaultPtrTraits,
            class index_t = int64_t>
  GenericPackedTensorAccessor<T, N, PtrTraits, index_t> generic_packed_accessor() const& {
    static_assert(N > 0, "accessor is used for indexing tensor, for scalars use *data_ptr<T>()");
    TORCH_CHECK(dim() == N, "TensorAccessor expected ", N, " dims but tensor has ", dim());
    return GenericPackedTensorAccessor<T, N, PtrTraits, index_t>(elements<T>(), sizes().data(),
                                                                 strides().data());
  }
  template <class T, size_t N, template <class U> class PtrTraits = DefaultPtrTraits>
  PackedTensorAccessor32<T, N, PtrTraits> packed_accessor32() const& {
    TORCH_CHECK(
        numel() <= static_cast<int64_t>(std::numeric_limits<int32_t>::max()),
        "numel needs to be smaller than int32_t max; otherwise, please use packed_accessor64");
    return generic_packed_accessor<T, N, PtrTraits, int32_t>();
  }
  template <class T, size_t N, template <class U> class PtrTraits = DefaultPtrTraits>
  PackedTensorAccessor64<T, N, PtrTraits> packed_accessor64() const& {
    return generic_packed_accessor<T, N, PtrTraits, int64_t>();
  }
  template <class T, size_t N, template <class U> class PtrTraits = DefaultPtrTraits,
            class index_t = int64_t>
  GenericPackedTensorAccessor<T, N, PtrTraits, index_t> packed_accessor() const& {
    return generic_packed_accessor<T, N, PtrTraits, index_t>();
  }

  Tensor to(caffe2::TypeMeta type, bool non_blocking = false, bool copy = false) const {
    RA_CALL(Tensor, "aten::to", "dtype", *this, c10::typeMetaToScalarType(type), non_blocking, copy,
            std::optional<MemoryFormat>());
  }
  Tensor to(Device device, caffe2::TypeMeta type, bool non_blocking = false,
            bool copy = false) const {
    RA_CALL(Tensor, "aten::to", "device", *this, device, c10::typeMetaToScalarType(type),
            non_blocking, copy, std::optional<MemoryFormat>());
  }
  Tensor to_options(const TensorOptions& o, bool non_blocking, bool copy,
                    std::optional<MemoryFormat> f) const {
    const auto format = c10::impl::check_tensor_options_and_extract_memory_format(o, f);
    RA_CALL(Tensor, "aten::to", "dtype_layout", *this, o.dtype_opt(), o.layout_opt(),
            o.device_opt(), o.pinned_memory_opt(), non_blocking, copy, format);
  }
  Tensor toType(ScalarType t) const {
    return to_options(options().dtype(t), false, false, std::nullopt);
  }
  Tensor cpu() const {
    return to_options(options().device(DeviceType::CPU), false, false, std::nullopt);
  }
  Tensor cuda() const {
    return to_options(options().device(DeviceType::CUDA), false, false, std::nullopt);
  }
  Tensor meta() const {
    return to_options(options().device(DeviceType::Meta), false, false, std::nullopt);
  }

  Tensor operator~() const { RA_CALL(Tensor, "aten::bitwise_not", "", *this); }
  Tensor operator-() const { RA_CALL(Tensor, "aten::neg", "", *this); }
#define RA_IN_PLACE(op, name, ...)                    \
  Tensor& operator op(const Tensor& other) {          \
    RA_RUN(name, "Tensor", *this, other __VA_ARGS__); \
    return *this;                                     \
  }                                                   \
  Tensor& operator op(const Scalar& other) {          \
    RA_RUN(name, "Scalar", *this, other __VA_ARGS__); \
    return *this;                                     \
  }
  RA_IN_PLACE(+=, "aten::add_", , 1)
  RA_IN_PLACE(-=, "aten::sub_", , 1)
  RA_IN_PLACE(*=, "aten::mul_")
  RA_IN_PLACE(/=, "aten::div_")
#undef RA_IN_PLACE
  Tensor& operator&=(const Tensor& o) {
    RA_RUN("aten::bitwise_and_", "Tensor", *this, o);
    return *this;
  }
  Tensor& operator|=(const Tensor& o) {
    RA_RUN("aten::bitwise_or_", "Tensor", *this, o);
    return *this;
  }
  Tensor& operator^=(const Tensor& o) {
    RA_RUN("aten::bitwise_xor_", "Tensor", *this, o);
    return *this;
  }
  Tensor operator[](int64_t index) const {
    RA_CALL(Tensor, "aten::select", "int", *this, 0, index);
  }
  Tensor operator[](const Scalar& index) const {
    TORCH_CHECK_INDEX(index.isIntegral(false), "Can only index tensors with integral scalars");
    return operator[](index.toLong());
  }
  Tensor operator[](const Tensor& index) const {
    TORCH_CHECK_INDEX(index.defined(), "Can only index with tensors that are defined");
    TORCH_CHECK_INDEX(index.dim() == 0, "Can only index with tensors that are scalars (zero-dim)");
    return operator[](index.item());
  }
  Tensor index(ArrayRef<indexing::TensorIndex> indices) const;
  Tensor index(std::initializer_list<indexing::TensorIndex> indices) const;
  Tensor& index_put_(ArrayRef<indexing::TensorIndex> indices, const Tensor& values);
  Tensor& index_put_(ArrayRef<indexing::TensorIndex> indices, const Scalar& value);
  Tensor& index_put_(std::initializer_list<indexing::TensorIndex> indices, const Tensor& values);
  Tensor& index_put_(std::initializer_list<indexing::TensorIndex> indices, const Scalar& value);
  void print() const { std::printf("[%s %s]\n", toString().c_str(), str(sizes()).c_str()); }

  static Tensor adopt(void* impl) {
    Tensor t;
    t.impl_ = impl;
    return t;
  }
  void* release() {
    void* impl = impl_;
    impl_ = nullptr;
    return impl;
  }
  std::string text(int (*tell)(void*, char**, int64_t*)) const {
    char* memory;
    int64_t length;
    c10::ra::check(tell(impl_, &memory, &length));
    std::string out(memory, static_cast<size_t>(length));
    ra_free(memory);
    return out;
  }

#include <candidate/methods.h>

 private:
  template <class T>
  T* typed(int mutable_) const {
    void* out;
    c10::ra::check(ra_typed_data(impl_, static_cast<int32_t>(c10::CppTypeToScalarType<T>::value),
                                 mutable_, &out));
    return static_cast<T*>(out);
  }
  template <class T>
  T* elements() const {
    if constexpr (std::is_const_v<T>)
      return const_data_ptr<T>();
    else
      return data_ptr<T>();
  }
  void* pointer(int mutable_) const {
    void* out;
    c10::ra::check(ra_data(impl_, mutable_, &out));
    return out;
  }
  int64_t number(int (*tell)(void*, int64_t*)) const {
    int64_t out;
    c10::ra::check(tell(impl_, &out));
    return out;
  }
  int32_t code(int (*tell)(void*, int32_t*)) const {
    int32_t out;
    c10::ra::check(tell(impl_, &out));
    return out;
  }
  bool ask(const char* question) const {
    int out;
    c10::ra::check(ra_is(impl_, question, &out));
    return out != 0;
  }
  Tensor alias(const char* how) const {
    void* out;
    c10::ra::check(ra_detach_data(impl_, how, &out));
    return adopt(out);
  }
  IntArrayRef array(int (*tell)(void*, const int64_t**, int64_t*)) const {
    const int64_t* data;
    int64_t count;
    c10::ra::check(tell(impl_, &data, &count));
    return IntArrayRef(data, static_cast<size_t>(count));
  }
  void* impl_;
};
using TensorBase = Tensor;

#define RA_POINTER(type, name, number)                      \
  template <>                                               \
  inline type* Tensor::mutable_data_ptr<type>() const {     \
    return typed<type>(1);                                  \
  }                                                         \
  template <>                                               \
  inline type* Tensor::data_ptr<type>() const {             \
    return typed<type>(1);                                  \
  }                                                         \
  template <>                                               \
  inline const type* Tensor::data_ptr<const type>() const { \
    return typed<type>(0);                                  \
  }
RA_FORALL_DTYPES(RA_POINTER)
#undef RA_POINTER

}  // namespace at

namespace c10::ra {
inline void* tensor_pointer(const at::Tensor& t) { return t.unsafeGetTensorImpl(); }
inline at::Tensor adopt(void* impl) { return at::Tensor::adopt(impl); }
inline Value::Value(at::TensorList list) : Value(RA_TENSORS, nullptr, list.size()) {
  for (const auto& t : list) pointers_.push_back(tensor_pointer(t));
}
inline Value::Value(const List<std::optional<at::Tensor>>& list)
    : Value(RA_TENSORS, nullptr, list.size()) {
  for (const auto& t : list) pointers_.push_back(t ? tensor_pointer(*t) : nullptr);
}
inline at::Tensor Result<at::Tensor>::take(const ra_value& v) {
  return adopt(const_cast<void*>(v.p));
}
inline std::vector<at::Tensor> Result<std::vector<at::Tensor>>::take(const ra_value& v) {
  std::vector<at::Tensor> out;
  for (int64_t i = 0; i < v.n; ++i) out.push_back(adopt(static_cast<void* const*>(v.p)[i]));
  ra_free(v.p);
  return out;
}
inline Text& Text::operator<<(const at::Tensor& t) { return *this << t.text(ra_show); }
}  // namespace c10::ra

namespace at {
#ifdef RA_USES_STREAMS
inline std::ostream& operator<<(std::ostream& out, const Tensor& t) {
  return out << t.text(ra_show);
}
inline std::ostream& operator<<(std::ostream& out, const DeprecatedTypeProperties& t) {
  return out << t.toString();
}
#endif

#define RA_OPERATOR(op, name, backwards, ...)                   \
  inline Tensor operator op(const Tensor& a, const Tensor& b) { \
    RA_CALL(Tensor, name, "Tensor", a, b __VA_ARGS__);          \
  }                                                             \
  inline Tensor operator op(const Tensor& a, const Scalar& b) { \
    RA_CALL(Tensor, name, "Scalar", a, b __VA_ARGS__);          \
  }                                                             \
  inline Tensor operator op(const Scalar& a, const Tensor& b) { \
    RA_CALL(Tensor, backwards, "Scalar", b, a __VA_ARGS__);     \
  }
RA_OPERATOR(+, "aten::add", "aten::add", , 1)
RA_OPERATOR(*, "aten::mul", "aten::mul")
RA_OPERATOR(&, "aten::bitwise_and", "aten::bitwise_and")
RA_OPERATOR(|, "aten::bitwise_or", "aten::bitwise_or")
RA_OPERATOR(^, "aten::bitwise_xor", "aten::bitwise_xor")
RA_OPERATOR(<, "aten::lt", "aten::gt")
RA_OPERATOR(<=, "aten::le", "aten::ge")
RA_OPERATOR(>, "aten::gt", "aten::lt")
RA_OPERATOR(>=, "aten::ge", "aten::le")
RA_OPERATOR(==, "aten::eq", "aten::eq")
RA_OPERATOR(!=, "aten::ne", "aten::ne")
#undef RA_OPERATOR

namespace ra {
// A tensor shaped like the other operand and filled with the number, as torch writes `1 - x`.
inline Tensor filled_like(const Tensor& t, const Scalar& value) {
  static const ::c10::ra::Operator like("aten::empty_like", "");
  auto out = ::c10::ra::Call<Tensor>::run(
      like, {t, std::nullopt, std::nullopt, std::nullopt, std::nullopt, MemoryFormat::Preserve});
  RA_RUN("aten::fill_", "Scalar", out, value);
  return out;
}
}  // namespace ra
#define RA_OPERATOR(op, name, ...)                              \
  inline Tensor operator op(const Tensor& a, const Tensor& b) { \
    RA_CALL(Tensor, name, "Tensor", a, b __VA_ARGS__);          \
  }                                                             \
  inline Tensor operator op(const Tensor& a, const Scalar& b) { \
    RA_CALL(Tensor, name, "Scalar", a, b __VA_ARGS__);          \
  }                                                             \
  inline Tensor operator op(const Scalar& a, const Tensor& b) { \
    auto out = ra::filled_like(b, a);                           \
    RA_RUN(name "_", "Tensor", out, b __VA_ARGS__);             \
    return out;                                                 \
  }
RA_OPERATOR(-, "aten::sub", , 1)
RA_OPERATOR(/, "aten::div")
RA_OPERATOR(%, "aten::remainder")
#undef RA_OPERATOR

inline c10::MaybeOwned<Tensor> Tensor::expect_contiguous(MemoryFormat f) const& {
  return c10::MaybeOwned<Tensor>(contiguous(f));
}
inline c10::MaybeOwned<Tensor> borrow_from_optional_tensor(const std::optional<Tensor>& t) {
  return c10::MaybeOwned<Tensor>(t ? *t : Tensor());
}
inline DeviceIndex get_device(const Tensor& t) { return t.get_device(); }
inline std::optional<Device> device_of(const Tensor& t) {
  if (t.defined()) return t.device();
  return std::nullopt;
}
inline std::optional<Device> device_of(TensorList list) {
  if (list.empty()) return std::nullopt;
  return device_of(list.front());
}
}  // namespace at

// What the AT_DISPATCH macros apply to their first argument.
namespace detail {
inline at::ScalarType scalar_type(at::ScalarType t) { return t; }
inline at::ScalarType scalar_type(const at::DeprecatedTypeProperties& t) { return t.scalarType(); }
}  // namespace detail
