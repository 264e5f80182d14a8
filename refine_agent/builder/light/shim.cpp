// Owns the other side of abi.h: torch's own headers, compiled once per torch version, behind plain
// C functions that never let an exception out. Leaves the candidate's types to the light headers.
#include <torch/csrc/python_headers.h>

#include <ATen/Context.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/Formatting.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/DynamicTypes.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/cuda.h>

#ifdef RA_WITH_CUDA
// ATen's CUDA context needs the headers of the CUDA libraries, which a small toolkit may lack.
#if __has_include(<cublas_v2.h>) && __has_include(<cublasLt.h>) && __has_include(<cusparse.h>) && \
    __has_include(<cusolverDn.h>)
#define RA_WITH_LIBRARIES
#include <ATen/cuda/CUDAContext.h>
#endif
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <dlfcn.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "abi.h"

#define RA_API extern "C" __attribute__((visibility("default")))

namespace {

using Impl = c10::TensorImpl;
using Pointer = c10::intrusive_ptr<Impl, c10::UndefinedTensorImpl>;

// ---------------------------------------------------------------------------------------- errors

struct LastError {
  ra_error_kind kind = RA_ERROR;
  int32_t type = RA_ERROR;  // what a kept exception looks like to a catch clause
  std::string message;
  std::exception_ptr kept;
};
thread_local LastError last_error;

ra_error_kind kind_of(const c10::Error& e) {
  if (dynamic_cast<const c10::IndexError*>(&e)) return RA_INDEX_ERROR;
  if (dynamic_cast<const c10::ValueError*>(&e)) return RA_VALUE_ERROR;
  if (dynamic_cast<const c10::TypeError*>(&e)) return RA_TYPE_ERROR;
  if (dynamic_cast<const c10::NotImplementedError*>(&e)) return RA_NOT_IMPLEMENTED_ERROR;
  if (dynamic_cast<const c10::LinAlgError*>(&e)) return RA_LINALG_ERROR;
  if (dynamic_cast<const c10::OutOfMemoryError*>(&e)) return RA_OUT_OF_MEMORY_ERROR;
  return RA_ERROR;
}

void keep(ra_error_kind type, std::string message) {
  last_error = {RA_KEPT, type, std::move(message), std::current_exception()};
}

template <class Body>
int guarded(Body&& body) noexcept {
  try {
    body();
    return 0;
  } catch (const c10::Error& e) {
    keep(kind_of(e), e.what_without_backtrace());
  } catch (const std::exception& e) {
    keep(RA_STD_EXCEPTION, e.what());
  } catch (...) {
    keep(RA_UNKNOWN_EXCEPTION, "unknown exception");
  }
  return 1;
}

std::exception_ptr as_exception(ra_error_kind kind, const std::string& message) {
  const c10::SourceLocation here{"", "", 0};
  switch (kind) {
    case RA_INDEX_ERROR:
      return std::make_exception_ptr(c10::IndexError(here, message));
    case RA_VALUE_ERROR:
      return std::make_exception_ptr(c10::ValueError(here, message));
    case RA_TYPE_ERROR:
      return std::make_exception_ptr(c10::TypeError(here, message));
    case RA_NOT_IMPLEMENTED_ERROR:
      return std::make_exception_ptr(c10::NotImplementedError(here, message));
    case RA_LINALG_ERROR:
      return std::make_exception_ptr(c10::LinAlgError(here, message));
    case RA_OUT_OF_MEMORY_ERROR:
      return std::make_exception_ptr(c10::OutOfMemoryError(here, message));
    case RA_STD_EXCEPTION:
      return std::make_exception_ptr(std::runtime_error(message));
    default:
      return std::make_exception_ptr(c10::Error(here, message));
  }
}

// --------------------------------------------------------------------------------------- tensors

at::Tensor borrow(void* p) {
  if (p == nullptr) return at::Tensor();
  return at::Tensor(Pointer::reclaim_copy(static_cast<Impl*>(p)));
}

const Impl* impl(void* p) {
  return p == nullptr ? c10::UndefinedTensorImpl::singleton() : static_cast<const Impl*>(p);
}

void* give(at::Tensor t) { return t.defined() ? t.unsafeReleaseTensorImpl() : nullptr; }

char* copy_text(const std::string& text) {
  auto* out = static_cast<char*>(std::malloc(text.size() + 1));
  std::memcpy(out, text.c_str(), text.size() + 1);
  return out;
}

template <class T>
const T* copy_items(const std::vector<T>& items) {
  auto* out = static_cast<T*>(std::malloc(items.size() * sizeof(T) + 1));
  std::copy(items.begin(), items.end(), out);
  return out;
}

c10::Device device_of(const ra_value& v) {
  return {static_cast<c10::DeviceType>(v.i), static_cast<c10::DeviceIndex>(v.n)};
}

using GeneratorPointer = c10::intrusive_ptr<c10::GeneratorImpl>;

GeneratorPointer generator(void* p) {
  return GeneratorPointer::reclaim_copy(static_cast<c10::GeneratorImpl*>(p));
}

// ------------------------------------------------------------------------------------- operators

c10::IValue list_argument(const ra_value& v, const c10::TypePtr& element) {
  switch (v.tag) {
    case RA_INTS: {
      const auto* items = static_cast<const int64_t*>(v.p);
      return c10::IValue(c10::List<int64_t>(c10::ArrayRef<int64_t>(items, v.n)));
    }
    case RA_DOUBLES: {
      const auto* items = static_cast<const double*>(v.p);
      return c10::IValue(c10::List<double>(c10::ArrayRef<double>(items, v.n)));
    }
    case RA_BOOLS: {
      c10::List<bool> list;
      for (int64_t i = 0; i < v.n; ++i) list.push_back(static_cast<const bool*>(v.p)[i]);
      return c10::IValue(std::move(list));
    }
    case RA_TENSORS: {
      auto* const* items = static_cast<void* const*>(v.p);
      if (element->kind() == c10::TypeKind::OptionalType) {
        c10::List<std::optional<at::Tensor>> list;
        for (int64_t i = 0; i < v.n; ++i) {
          auto t = borrow(items[i]);
          list.push_back(t.defined() ? std::optional<at::Tensor>(t) : std::nullopt);
        }
        return c10::IValue(std::move(list));
      }
      c10::List<at::Tensor> list;
      for (int64_t i = 0; i < v.n; ++i) list.push_back(borrow(items[i]));
      return c10::IValue(std::move(list));
    }
    default:
      TORCH_CHECK(false, "an operator got a value where it takes a list");
  }
}

c10::IValue argument(const ra_value& v, c10::TypePtr type) {
  bool optional = false;
  if (type->kind() == c10::TypeKind::OptionalType) {
    optional = true;
    type = type->expectRef<c10::OptionalType>().getElementType();
  }
  if (v.tag == RA_NONE && (optional || type->kind() != c10::TypeKind::TensorType)) return {};
  switch (type->kind()) {
    case c10::TypeKind::TensorType: {
      auto t = v.tag == RA_NONE ? at::Tensor() : borrow(const_cast<void*>(v.p));
      return optional && !t.defined() ? c10::IValue() : c10::IValue(std::move(t));
    }
    case c10::TypeKind::ListType:
      return list_argument(v, type->expectRef<c10::ListType>().getElementType());
    case c10::TypeKind::StringType:
      return std::string(static_cast<const char*>(v.p), v.n);
    case c10::TypeKind::DeviceObjType:
      return device_of(v);
    case c10::TypeKind::GeneratorType:
      return at::Generator(generator(const_cast<void*>(v.p)));
    case c10::TypeKind::FloatType:
    case c10::TypeKind::SymFloatType:
      return v.tag == RA_DOUBLE ? v.d : static_cast<double>(v.i);
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType:
      return v.i != 0;
    case c10::TypeKind::NumberType:
      if (v.tag == RA_DOUBLE) return v.d;
      if (v.tag == RA_BOOL) return v.i != 0;
      if (v.tag == RA_COMPLEX) return c10::complex<double>(v.d, v.e);
      return v.i;
    default:
      return v.i;
  }
}

ra_value result(const c10::IValue& v) {
  ra_value out{};
  if (v.isNone()) {
    out.tag = RA_NONE;
  } else if (v.isTensor()) {
    out.tag = RA_TENSOR;
    out.p = give(v.toTensor());
  } else if (v.isBool()) {
    out.tag = RA_BOOL;
    out.i = v.toBool();
  } else if (v.isInt()) {
    out.tag = RA_INT;
    out.i = v.toInt();
  } else if (v.isDouble()) {
    out.tag = RA_DOUBLE;
    out.d = v.toDouble();
  } else if (v.isComplexDouble()) {
    out.tag = RA_COMPLEX;
    out.d = v.toComplexDouble().real();
    out.e = v.toComplexDouble().imag();
  } else if (v.isScalar()) {
    return result(c10::IValue(v.toScalar().to<double>()));
  } else if (v.isTensorList()) {
    std::vector<void*> items;
    for (const at::Tensor& t : v.toTensorVector()) items.push_back(give(t));
    out.tag = RA_TENSORS;
    out.n = static_cast<int64_t>(items.size());
    out.p = copy_items(items);
  } else if (v.isIntList()) {
    auto items = v.toIntVector();
    out.tag = RA_INTS;
    out.n = static_cast<int64_t>(items.size());
    out.p = copy_items(items);
  } else if (v.isString()) {
    out.tag = RA_STRING;
    out.n = static_cast<int64_t>(v.toStringRef().size());
    out.p = copy_text(v.toStringRef());
  } else {
    TORCH_CHECK(false, "an operator returned a ", v.tagKind(),
                ", which the light headers do not know");
  }
  return out;
}

}  // namespace

// One translation unit, because parsing torch's headers is what takes the time.
#include "shim_python.cpp"

// ---------------------------------------------------------------------------------- the interface

RA_API void ra_last_error(ra_error_kind* kind, const char** message, int32_t* type) {
  *kind = last_error.kind;
  *message = last_error.message.c_str();
  *type = last_error.type;
}
RA_API void ra_raise(ra_error_kind kind, const char* message) {
  if (kind == RA_KEPT && last_error.kept) return;
  last_error = {kind == RA_KEPT ? RA_ERROR : kind, kind, message, nullptr};
}
RA_API void ra_warn(int deprecation, const char* function, const char* file, uint32_t line,
                    const char* message) {
  const c10::SourceLocation where{function, file, line};
  if (deprecation)
    c10::warn(c10::Warning(c10::DeprecationWarning(), where, std::string(message), false));
  else
    c10::warn(c10::Warning(c10::UserWarning(), where, std::string(message), false));
}

RA_API void ra_log_fatal(const char* file, uint32_t line, const char* message, char** text) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
  const std::time_t clock = seconds.count();
  std::tm t{};
  localtime_r(&clock, &t);
  const char* slash = std::strrchr(file, '/');
  char prefix[256];
  std::snprintf(prefix, sizeof prefix, "[F%02d%02d %02d:%02d:%02d.%09lld %s:%u] ", t.tm_mon + 1,
                t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                static_cast<long long>(std::chrono::nanoseconds(now - seconds).count()),
                slash == nullptr ? file : slash + 1, line);
  const auto whole = std::string(prefix) + message + "\n";
  std::fputs(whole.c_str(), stderr);
  *text = copy_text(whole);
}

RA_API void ra_free(const void* memory) { std::free(const_cast<void*>(memory)); }

// Through the typed pointer: c10::raw counts without telling the tensor's Python object.
RA_API void ra_incref(void* t) { Pointer::reclaim_copy(static_cast<Impl*>(t)).release(); }
RA_API void ra_decref(void* t) { Pointer::reclaim(static_cast<Impl*>(t)).reset(); }
RA_API int64_t ra_use_count(void* t) {
  return t == nullptr
             ? 0
             : static_cast<int64_t>(c10::raw::intrusive_ptr::use_count(static_cast<Impl*>(t)));
}
RA_API int64_t ra_weak_use_count(void* t) {
  return t == nullptr
             ? 0
             : static_cast<int64_t>(c10::raw::weak_intrusive_ptr::use_count(static_cast<Impl*>(t)));
}

RA_API int ra_sizes(void* t, const int64_t** data, int64_t* count) {
  return guarded([&] {
    auto s = impl(t)->sizes();
    *data = s.data();
    *count = static_cast<int64_t>(s.size());
  });
}
RA_API int ra_strides(void* t, const int64_t** data, int64_t* count) {
  return guarded([&] {
    auto s = impl(t)->strides();
    *data = s.data();
    *count = static_cast<int64_t>(s.size());
  });
}
RA_API int ra_dim(void* t, int64_t* out) {
  return guarded([&] { *out = impl(t)->dim(); });
}
RA_API int ra_numel(void* t, int64_t* out) {
  return guarded([&] { *out = impl(t)->numel(); });
}
RA_API int ra_size(void* t, int64_t dim, int64_t* out) {
  return guarded([&] { *out = borrow(t).size(dim); });
}
RA_API int ra_stride(void* t, int64_t dim, int64_t* out) {
  return guarded([&] { *out = borrow(t).stride(dim); });
}
RA_API int ra_storage_offset(void* t, int64_t* out) {
  return guarded([&] { *out = impl(t)->storage_offset(); });
}
RA_API int ra_itemsize(void* t, int64_t* out) {
  return guarded([&] { *out = static_cast<int64_t>(impl(t)->itemsize()); });
}
RA_API int ra_dtype(void* t, int32_t* out) {
  return guarded([&] { *out = static_cast<int32_t>(borrow(t).scalar_type()); });
}
RA_API int ra_layout(void* t, int32_t* out) {
  return guarded([&] { *out = static_cast<int32_t>(impl(t)->layout()); });
}
RA_API int ra_device(void* t, int32_t* type, int32_t* index) {
  return guarded([&] {
    auto d = impl(t)->device();
    *type = static_cast<int32_t>(d.type());
    *index = d.index();
  });
}
RA_API int ra_is_contiguous(void* t, int32_t format, int* out) {
  return guarded([&] { *out = impl(t)->is_contiguous(static_cast<at::MemoryFormat>(format)); });
}
RA_API int ra_is(void* p, const char* question, int* out) {
  return guarded([&] {
    const auto t = borrow(p);
    const std::string_view q(question);
    if (q == "requires_grad")
      *out = t.requires_grad();
    else if (q == "is_leaf")
      *out = t.is_leaf();
    else if (q == "retains_grad")
      *out = t.retains_grad();
    else if (q == "is_view")
      *out = t.is_view();
    else if (q == "is_sparse")
      *out = t.is_sparse();
    else if (q == "is_sparse_csr")
      *out = t.is_sparse_csr();
    else if (q == "is_quantized")
      *out = t.is_quantized();
    else if (q == "is_nested")
      *out = t.is_nested();
    else if (q == "is_inference")
      *out = t.is_inference();
    else if (q == "is_mkldnn")
      *out = t.is_mkldnn();
    else if (q == "is_conj")
      *out = t.is_conj();
    else if (q == "is_neg")
      *out = t.is_neg();
    else if (q == "has_storage")
      *out = t.has_storage();
    else if (q == "is_non_overlapping_and_dense")
      *out = t.is_non_overlapping_and_dense();
    else
      TORCH_CHECK(false, "the light headers do not know ", question);
  });
}
RA_API int ra_set_requires_grad(void* t, int value) {
  return guarded([&] { borrow(t).set_requires_grad(value != 0); });
}
RA_API int ra_suggest_memory_format(void* t, int exact, int32_t* out) {
  return guarded([&] { *out = static_cast<int32_t>(borrow(t).suggest_memory_format(exact != 0)); });
}
RA_API int ra_data(void* t, int mutable_, void** out) {
  return guarded([&] {
    const auto tensor = borrow(t);
    *out = mutable_ ? tensor.mutable_data_ptr() : const_cast<void*>(tensor.const_data_ptr());
  });
}
// torch's own typed access, for its checks and their wording.
RA_API int ra_typed_data(void* p, int32_t dtype, int mutable_, void** out) {
  return guarded([&] {
    const auto t = borrow(p);
    switch (static_cast<at::ScalarType>(dtype)) {
#define RA_CASE(T, NAME)                                                                  \
  case at::ScalarType::NAME:                                                              \
    *out = mutable_ ? static_cast<void*>(t.mutable_data_ptr<T>())                         \
                    : const_cast<void*>(static_cast<const void*>(t.const_data_ptr<T>())); \
    return;
      RA_CASE(uint8_t, Byte)
      RA_CASE(int8_t, Char)
      RA_CASE(int16_t, Short)
      RA_CASE(int, Int)
      RA_CASE(int64_t, Long)
      RA_CASE(c10::Half, Half)
      RA_CASE(float, Float)
      RA_CASE(double, Double)
      RA_CASE(c10::complex<float>, ComplexFloat)
      RA_CASE(c10::complex<double>, ComplexDouble)
      RA_CASE(bool, Bool)
      RA_CASE(c10::BFloat16, BFloat16)
      RA_CASE(c10::Float8_e5m2, Float8_e5m2)
      RA_CASE(c10::Float8_e4m3fn, Float8_e4m3fn)
      RA_CASE(c10::Float8_e5m2fnuz, Float8_e5m2fnuz)
      RA_CASE(c10::Float8_e4m3fnuz, Float8_e4m3fnuz)
#if __has_include(<c10/util/Float8_e8m0fnu.h>)
      RA_CASE(c10::Float8_e8m0fnu, Float8_e8m0fnu)
#endif
      RA_CASE(uint16_t, UInt16)
      RA_CASE(uint32_t, UInt32)
      RA_CASE(uint64_t, UInt64)
#undef RA_CASE
      default:
        TORCH_CHECK(false, "data_ptr of an unknown type");
    }
  });
}
RA_API int ra_contiguous(void* t, int32_t format, void** out) {
  return guarded([&] { *out = give(borrow(t).contiguous(static_cast<at::MemoryFormat>(format))); });
}
RA_API int ra_from_blob(void* data, const int64_t* sizes, const int64_t* strides, int64_t dim,
                        const ra_value* options, void (*free)(void*), void* context, void** out) {
  return guarded([&] {
    at::TensorOptions o;
    if (options[0].tag != RA_NONE) o = o.dtype(static_cast<at::ScalarType>(options[0].i));
    if (options[1].tag != RA_NONE) o = o.device(device_of(options[1]));
    const at::IntArrayRef shape(sizes, dim);
    auto maker = at::for_blob(data, shape);
    maker.options(o);
    if (strides != nullptr) maker.strides(at::IntArrayRef(strides, dim));
    if (free != nullptr) maker.deleter([free, context](void*) { free(context); });
    *out = give(maker.make_tensor());
  });
}
RA_API int ra_storage(void* t, void** data, int64_t* bytes) {
  return guarded([&] {
    const auto& storage = borrow(t).storage();
    *data = const_cast<void*>(storage.data());
    *bytes = static_cast<int64_t>(storage.nbytes());
  });
}
RA_API int ra_grad(void* t, void** out) {
  return guarded([&] { *out = give(borrow(t).grad()); });
}
RA_API int ra_detach_data(void* t, const char* how, void** out) {
  return guarded([&] {
    const std::string_view q(how);
    const auto tensor = borrow(t);
    *out = give(q == "tensor_data" ? tensor.tensor_data()
                : q == "data"      ? tensor.data()
                                   : tensor.variable_data());
  });
}
RA_API int ra_show(void* t, char** text, int64_t* length) {
  return guarded([&] {
    std::ostringstream stream;
    stream << borrow(t);
    *text = copy_text(stream.str());
    *length = static_cast<int64_t>(stream.str().size());
  });
}
RA_API int ra_kind_name(void* t, char** text, int64_t* length) {
  return guarded([&] {
    const auto name = borrow(t).toString();
    *text = copy_text(name);
    *length = static_cast<int64_t>(name.size());
  });
}
RA_API int ra_promote(int32_t a, int32_t b, int32_t* out) {
  return guarded([&] {
    *out = static_cast<int32_t>(
        c10::promoteTypes(static_cast<at::ScalarType>(a), static_cast<at::ScalarType>(b)));
  });
}

RA_API int ra_find(const char* name, const char* overload, void** op) {
  return guarded([&] {
    *op = new c10::OperatorHandle(c10::Dispatcher::singleton().findSchemaOrThrow(name, overload));
  });
}
RA_API int ra_call(void* op, const ra_value* arguments, int64_t count, ra_value* out,
                   int64_t room) {
  return guarded([&] {
    const auto& handle = *static_cast<c10::OperatorHandle*>(op);
    const auto& wanted = handle.schema().arguments();
    TORCH_INTERNAL_ASSERT(count == static_cast<int64_t>(wanted.size()));
    torch::jit::Stack stack;
    stack.reserve(count);
    for (int64_t i = 0; i < count; ++i) stack.push_back(argument(arguments[i], wanted[i].type()));
    handle.callBoxed(stack);
    for (int64_t i = 0; i < room && i < static_cast<int64_t>(stack.size()); ++i)
      out[i] = result(stack[i]);
  });
}

RA_API int ra_parse_device(const char* text, int32_t* type, int32_t* index) {
  return guarded([&] {
    const c10::Device d{std::string(text)};
    *type = static_cast<int32_t>(d.type());
    *index = d.index();
  });
}
RA_API int64_t ra_num_threads() { return at::get_num_threads(); }
RA_API void ra_set_num_threads(int64_t n) { at::set_num_threads(static_cast<int>(n)); }
RA_API void ra_init_num_threads() { at::internal::lazy_init_num_threads(); }
RA_API int ra_in_parallel_region() { return at::in_parallel_region(); }
RA_API int64_t ra_thread_num() { return at::get_thread_num(); }
RA_API void ra_set_thread_num(int64_t id) { at::internal::set_thread_num(static_cast<int>(id)); }
RA_API int ra_manual_seed(uint64_t seed) {
  return guarded([&] { at::manual_seed(seed); });
}
RA_API int ra_torch_cuda(const char* function, int64_t* value) {
  return guarded([&] {
    const std::string_view q(function);
    if (q == "is_available")
      *value = torch::cuda::is_available();
    else if (q == "cudnn_is_available")
      *value = torch::cuda::cudnn_is_available();
    else if (q == "device_count")
      *value = static_cast<int64_t>(torch::cuda::device_count());
    else if (q == "synchronize")
      torch::cuda::synchronize(*value);
    else if (q == "manual_seed")
      torch::cuda::manual_seed(static_cast<uint64_t>(*value));
    else
      torch::cuda::manual_seed_all(static_cast<uint64_t>(*value));
  });
}
RA_API int64_t ra_grad_mode(int64_t set) {
  const bool before = at::GradMode::is_enabled();
  if (set >= 0) at::GradMode::set_enabled(set != 0);
  return before;
}
RA_API void* ra_guard(int kind) {
  if (kind == 0) return new at::AutoDispatchBelowADInplaceOrView();
  if (kind == 1) return new at::AutoDispatchBelowAutograd();
  return new c10::InferenceMode(kind == 2);
}
RA_API int ra_inference_mode() { return c10::InferenceMode::is_enabled(); }
RA_API void ra_unguard(int kind, void* guard) {
  if (kind == 0)
    delete static_cast<at::AutoDispatchBelowADInplaceOrView*>(guard);
  else if (kind == 1)
    delete static_cast<at::AutoDispatchBelowAutograd*>(guard);
  else
    delete static_cast<c10::InferenceMode*>(guard);
}
RA_API int ra_backward(void* t, void* gradient, int retain_graph, int create_graph) {
  return guarded([&] {
    std::optional<bool> retain;
    if (retain_graph >= 0) retain = retain_graph != 0;
    borrow(t).backward(borrow(gradient), retain, create_graph != 0);
  });
}

RA_API int ra_generator(const char* how, [[maybe_unused]] int device, uint64_t seed, void** out) {
  return guarded([&] {
    const std::string_view q(how);
    at::Generator made;
    if (q == "default cpu")
      made = at::detail::getDefaultCPUGenerator();
    else if (q == "new cpu")
      made = at::detail::createCPUGenerator(seed);
#ifdef RA_WITH_CUDA
    else if (q == "default cuda")
      made = at::cuda::detail::getDefaultCUDAGenerator(static_cast<c10::DeviceIndex>(device));
    else if (q == "new cuda")
      made = at::cuda::detail::createCUDAGenerator(static_cast<c10::DeviceIndex>(device));
#endif
    else
      TORCH_CHECK(false, "the light headers have no ", how, " generator");
    *out = made.unsafeReleaseGeneratorImpl();
  });
}
RA_API void ra_generator_count(void* g, int by) {
  if (g == nullptr) return;
  if (by > 0)
    generator(g).release();
  else
    GeneratorPointer::reclaim(static_cast<c10::GeneratorImpl*>(g)).reset();
}
RA_API void* ra_generator_mutex(void* g) { return &static_cast<c10::GeneratorImpl*>(g)->mutex_; }
RA_API int ra_generator_device(void* g, int32_t* type, int32_t* index) {
  return guarded([&] {
    const auto device = static_cast<c10::GeneratorImpl*>(g)->device();
    *type = static_cast<int32_t>(device.type());
    *index = device.index();
  });
}
RA_API int ra_generator_ask(void* p, const char* what, uint64_t* value) {
  return guarded([&] {
    auto* g = static_cast<c10::GeneratorImpl*>(p);
    const std::string_view q(what);
    if (q == "current_seed")
      *value = g->current_seed();
    else if (q == "seed")
      *value = g->seed();
    else if (q == "set_current_seed")
      g->set_current_seed(*value);
    else if (q == "get_offset")
      *value = g->get_offset();
    else if (q == "set_offset")
      g->set_offset(*value);
    else if (q == "random")
      *value = dynamic_cast<at::CPUGeneratorImpl&>(*g).random();
    else if (q == "random64")
      *value = dynamic_cast<at::CPUGeneratorImpl&>(*g).random64();
#ifdef RA_WITH_CUDA
    else if (q == "philox_engine_inputs")
      *value = static_cast<at::CUDAGeneratorImpl*>(g)->philox_engine_inputs(*value).second;
#endif
    else
      TORCH_CHECK(false, "the light headers do not know ", what);
  });
}
RA_API int ra_philox_state([[maybe_unused]] void* g, [[maybe_unused]] uint64_t increment,
                           [[maybe_unused]] void* state, [[maybe_unused]] size_t bytes) {
  return guarded([&] {
#ifdef RA_WITH_CUDA
    const auto drawn = static_cast<at::CUDAGeneratorImpl*>(g)->philox_cuda_state(increment);
    TORCH_INTERNAL_ASSERT(bytes == sizeof drawn);
    std::memcpy(state, static_cast<const void*>(&drawn), bytes);
#else
    TORCH_CHECK(false, "this torch has no CUDA");
#endif
  });
}

RA_API int ra_context(const char* what, int set, int* out) {
  return guarded([&] {
    auto& context = at::globalContext();
    const std::string_view q(what);
#define RA_SWITCH(get, assign)  \
  if (q == #get) {              \
    if (set >= 0)               \
      context.assign(set != 0); \
    else                        \
      *out = context.get();     \
  }
    RA_CONTEXT_SWITCHES(RA_SWITCH)
#undef RA_SWITCH
#define RA_SET_ONLY(assign) \
  if (q == #assign) context.assign(set != 0);
    RA_CONTEXT_SET_ONLY(RA_SET_ONLY)
#undef RA_SET_ONLY
#define RA_ASKED(name) \
  if (q == #name) *out = context.name();
    RA_CONTEXT_ASKED(RA_ASKED)
#undef RA_ASKED
  });
}
RA_API int ra_deterministic(int on, int warn_only) {
  return guarded([&] { at::globalContext().setDeterministicAlgorithms(on != 0, warn_only != 0); });
}
RA_API int ra_matmul_precision(const char* set, int32_t* out) {
  return guarded([&] {
    auto& context = at::globalContext();
    if (set != nullptr) context.setFloat32MatmulPrecision(std::string(set));
    *out = static_cast<int32_t>(context.float32MatmulPrecision());
  });
}

#ifdef RA_WITH_CUDA
namespace {
c10::DeviceIndex index_of(int device) { return static_cast<c10::DeviceIndex>(device); }
c10::cuda::CUDAStream stream_of(int device, int64_t id) {
  return c10::cuda::CUDAStream(
      c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::kCUDA, index_of(device)), id));
}
}  // namespace

RA_API int ra_cuda_available() { return at::globalContext().hasCUDA(); }
RA_API int64_t ra_cuda_device_count() { return c10::cuda::device_count(); }
RA_API int ra_cuda_check(int32_t error, const char* file, const char* function, uint32_t line) {
  return guarded(
      [&] { c10::cuda::c10_cuda_check_implementation(error, file, function, line, true); });
}
RA_API int ra_cuda_stream(int device, int which, int64_t* id, void** stream) {
  return guarded([&] {
    const auto index = index_of(device);
    const auto s = which == 0   ? c10::cuda::getCurrentCUDAStream(index)
                   : which == 1 ? c10::cuda::getDefaultCUDAStream(index)
                                : c10::cuda::getStreamFromPool(which == 3, index);
    *id = s.id();
    *stream = s.stream();
  });
}
RA_API int ra_cuda_stream_of(int device, int64_t id, void** stream) {
  return guarded([&] { *stream = stream_of(device, id).stream(); });
}
RA_API int ra_cuda_set_stream(int device, int64_t id) {
  return guarded([&] { c10::cuda::setCurrentCUDAStream(stream_of(device, id)); });
}
RA_API int ra_cuda_external_stream(void* stream, int device, int64_t* id) {
  return guarded([&] {
    *id =
        c10::cuda::getStreamFromExternal(static_cast<cudaStream_t>(stream), index_of(device)).id();
  });
}
RA_API int ra_cuda_current_device(int32_t* out) {
  return guarded([&] { *out = c10::cuda::current_device(); });
}
RA_API int ra_cuda_set_device(int32_t device) {
  return guarded([&] { c10::cuda::set_device(index_of(device)); });
}
RA_API int ra_cuda_exchange_device(int32_t device, int32_t* before) {
  return guarded([&] { *before = c10::cuda::ExchangeDevice(index_of(device)); });
}
RA_API int ra_cuda_properties(int64_t device, void** out) {
  return guarded([&] {
    static std::vector<std::unique_ptr<cudaDeviceProp>> known(c10::cuda::device_count());
    const auto index = device < 0 ? c10::cuda::current_device() : device;
    TORCH_CHECK(index >= 0 && index < static_cast<int64_t>(known.size()), "device=", index,
                ", num_gpus=", known.size());
    static std::mutex asking;
    const std::lock_guard<std::mutex> lock(asking);
    if (known[index] == nullptr) {
      auto properties = std::make_unique<cudaDeviceProp>();
      C10_CUDA_CHECK(cudaGetDeviceProperties(properties.get(), static_cast<int>(index)));
      known[index] = std::move(properties);
    }
    *out = known[index].get();
  });
}
RA_API int ra_cuda_handle([[maybe_unused]] int library, [[maybe_unused]] void** out) {
  return guarded([&] {
    if (library == 2) {  // by its symbol: a torch without cuDNN has none
      void* symbol = dlsym(RTLD_DEFAULT, "_ZN2at6native14getCudnnHandleEv");
      TORCH_CHECK(symbol != nullptr, "this torch has no cuDNN");
      *out = reinterpret_cast<void* (*)()>(symbol)();
      return;
    }
#ifdef RA_WITH_LIBRARIES
    if (library == 0) {
      *out = at::cuda::getCurrentCUDABlasHandle();
      return;
    }
    if (library == 1) {
      *out = at::cuda::getCurrentCUDASparseHandle();
      return;
    }
    if (library == 4) {
      *out = at::cuda::getCurrentCUDABlasLtHandle();
      return;
    }
#endif
    TORCH_CHECK(false, "the light headers have no handle of this CUDA library");
  });
}
RA_API int ra_cuda_allocate(size_t bytes, void** out) {
  return guarded([&] { *out = c10::cuda::CUDACachingAllocator::raw_alloc(bytes); });
}
RA_API int ra_cuda_allocate_on(size_t bytes, void* stream, void** out) {
  return guarded([&] {
    *out = c10::cuda::CUDACachingAllocator::raw_alloc_with_stream(
        bytes, static_cast<cudaStream_t>(stream));
  });
}
RA_API int ra_cuda_empty_cache() {
  return guarded([&] { c10::cuda::CUDACachingAllocator::emptyCache(); });
}
// The allocator knows its own memory by what frees it, and is lent the memory for this call.
RA_API int ra_cuda_record_memory(void* memory, int device, int64_t id) {
  return guarded([&] {
    const auto free = c10::cuda::CUDACachingAllocator::get()->raw_deleter();
    c10::DataPtr lent(memory, memory, free, c10::Device(c10::kCUDA, index_of(device)));
    c10::cuda::CUDACachingAllocator::recordStream(lent, stream_of(device, id));
    lent.release_context();
  });
}
RA_API int ra_cuda_deallocate(void* memory) {
  return guarded([&] { c10::cuda::CUDACachingAllocator::raw_delete(memory); });
}
RA_API int ra_cuda_synchronize(int64_t device) {
  return guarded([&] {
    const auto before = c10::cuda::current_device();
    if (device >= 0) c10::cuda::set_device(index_of(static_cast<int>(device)));
    c10::cuda::device_synchronize();
    if (device >= 0) c10::cuda::set_device(before);
  });
}
RA_API int ra_cuda_record_stream(void* t, int device, int64_t id) {
  return guarded([&] {
    c10::cuda::CUDACachingAllocator::recordStream(borrow(t).storage().data_ptr(),
                                                  stream_of(device, id));
  });
}

namespace {
at::cuda::CUDAGraph& graph_of(void* graph) { return *static_cast<at::cuda::CUDAGraph*>(graph); }
}  // namespace

RA_API int ra_cuda_graph_new(void** out) {
  return guarded([&] { *out = std::make_unique<at::cuda::CUDAGraph>().release(); });
}
RA_API void ra_cuda_graph_delete(void* graph) { delete static_cast<at::cuda::CUDAGraph*>(graph); }
RA_API int ra_cuda_graph_begin(void* graph, unsigned long long first, unsigned long long second,
                               int mode) {
  return guarded([&] {
    graph_of(graph).capture_begin({first, second}, static_cast<cudaStreamCaptureMode>(mode));
  });
}
RA_API int ra_cuda_graph(void* graph, const char* what) {
  return guarded([&] {
    const std::string_view q(what);
    if (q == "capture_end")
      graph_of(graph).capture_end();
    else if (q == "replay")
      graph_of(graph).replay();
    else if (q == "reset")
      graph_of(graph).reset();
    else
      graph_of(graph).enable_debug_mode();
  });
}
RA_API int ra_cuda_graph_pool(void* graph, unsigned long long* pool) {
  return guarded([&] {
    const auto id = graph == nullptr ? at::cuda::graph_pool_handle() : graph_of(graph).pool();
    pool[0] = id.first;
    pool[1] = id.second;
  });
}
#endif
