// Owns errors and their text: c10::Error and its kind, c10::str, TORCH_CHECK and its family,
// warnings. Leaves turning them into Python exceptions to the shim, which has torch's own wording.
#pragma once
#include <exception>
#include <stdexcept>

#include "plain.h"

#ifdef RA_USES_STREAMS
#include <ostream>
#include <sstream>
#endif

namespace at {
class Tensor;
}

namespace c10 {

class Scalar;
struct TensorOptions;
struct SourceLocation {
  const char* function;
  const char* file;
  uint32_t line;
};

class Error : public std::exception {
 public:
  Error(SourceLocation, std::string message) : Error(RA_ERROR, std::move(message)) {}
  explicit Error(std::string message, const void* = nullptr, const void* = nullptr)
      : Error(RA_ERROR, std::move(message)) {}
  Error(ra_error_kind kind, std::string message) : kind_(kind), message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  virtual const char* what_without_backtrace() const noexcept { return message_.c_str(); }
  const std::string& msg() const { return message_; }
  void add_context(const std::string& text) {
    message_ += "\n" + text;
    kind_ = kind_ == RA_KEPT ? RA_ERROR : kind_;
  }
  ra_error_kind ra_kind() const noexcept { return kind_; }
  void ra_keep() noexcept { kind_ = RA_KEPT; }

 protected:
  ra_error_kind kind_;
  std::string message_;
};

#define RA_ERROR_CLASS(name, kind)                                                 \
  class name : public Error {                                                      \
   public:                                                                         \
    name(SourceLocation, std::string message) : Error(kind, std::move(message)) {} \
    explicit name(std::string message) : Error(kind, std::move(message)) {}        \
  };
RA_ERROR_CLASS(IndexError, RA_INDEX_ERROR)
RA_ERROR_CLASS(ValueError, RA_VALUE_ERROR)
RA_ERROR_CLASS(TypeError, RA_TYPE_ERROR)
RA_ERROR_CLASS(NotImplementedError, RA_NOT_IMPLEMENTED_ERROR)
RA_ERROR_CLASS(LinAlgError, RA_LINALG_ERROR)
RA_ERROR_CLASS(OutOfMemoryError, RA_OUT_OF_MEMORY_ERROR)
RA_ERROR_CLASS(BufferError, RA_BUFFER_ERROR)
RA_ERROR_CLASS(EnforceFiniteError, RA_ERROR)
RA_ERROR_CLASS(CUDAError, RA_ERROR)
#undef RA_ERROR_CLASS

// ------------------------------------------------------------------------------------------- text

namespace ra {

// What std::ostream would have written, without <sstream>'s compile time.
class Text {
 public:
  std::string string;
  Text& operator<<(const char* s) {
    string += s == nullptr ? "" : s;
    return *this;
  }
  Text& operator<<(const std::string& s) {
    string += s;
    return *this;
  }
  Text& operator<<(std::string_view s) {
    string += s;
    return *this;
  }
  Text& operator<<(char c) {
    string += c;
    return *this;
  }
  Text& operator<<(signed char c) {
    string += static_cast<char>(c);
    return *this;
  }
  Text& operator<<(unsigned char c) {
    string += static_cast<char>(c);
    return *this;
  }
  Text& operator<<(bool b) {
    string += b ? "1" : "0";
    return *this;
  }
  Text& operator<<(short v) { return print("%d", static_cast<int>(v)); }
  Text& operator<<(unsigned short v) { return print("%u", static_cast<unsigned>(v)); }
  Text& operator<<(int v) { return print("%d", v); }
  Text& operator<<(unsigned v) { return print("%u", v); }
  Text& operator<<(long v) { return print("%ld", v); }
  Text& operator<<(unsigned long v) { return print("%lu", v); }
  Text& operator<<(long long v) { return print("%lld", v); }
  Text& operator<<(unsigned long long v) { return print("%llu", v); }
  Text& operator<<(float v) { return print("%g", static_cast<double>(v)); }
  Text& operator<<(double v) { return print("%g", v); }
  Text& operator<<(long double v) { return print("%Lg", v); }
  Text& operator<<(const void* p) { return p == nullptr ? *this << "0" : print("%p", p); }
  Text& operator<<(ScalarType t) { return *this << toString(t); }
  Text& operator<<(TypeMeta t) { return *this << t.name(); }
  Text& operator<<(DeviceType t) { return *this << DeviceTypeName(t, true); }
  Text& operator<<(const Device& d) { return *this << d.str(); }
  Text& operator<<(Layout l) { return *this << layout_name(l); }
  Text& operator<<(MemoryFormat f) { return *this << memory_format_name(f); }
  Text& operator<<(const at::Tensor& t);
  Text& operator<<(const Scalar& s);
  Text& operator<<(const TensorOptions& o);
  template <class T>
  Text& operator<<(ArrayRef<T> items) {
    *this << '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) *this << ", ";
      *this << items[i];
    }
    return *this << ']';
  }
  template <class T>
  Text& operator<<(const std::vector<T>& items) {  // as c10/util/Logging.h prints sequences
    for (size_t i = 0; i < items.size() && i < 100; ++i) {
      if (i > 0) *this << ' ';
      *this << items[i];
    }
    return items.size() > 100 ? *this << " ..." : *this;
  }
  template <class T, unsigned N>
  Text& operator<<(const SmallVector<T, N>& items) {
    return *this << ArrayRef<T>(items.data(), items.size());
  }
  template <class T, class = std::enable_if_t<std::is_enum_v<T> && std::is_convertible_v<T, int>>>
  Text& operator<<(T value) {
    return *this << static_cast<int>(value);
  }
#ifdef RA_USES_STREAMS
  template <class T,
            class = std::enable_if_t<!std::is_arithmetic_v<T> && !std::is_enum_v<T> &&
                                     !std::is_array_v<T>>,
            class = decltype(std::declval<std::ostream&>() << std::declval<const T&>())>
  Text& operator<<(const T& value) {
    std::ostringstream stream;
    stream << value;
    return *this << stream.str();
  }
#endif

 private:
  template <class T>
  Text& print(const char* format, T value) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, value);
    string += buffer;
    return *this;
  }
};

[[noreturn]] __attribute__((cold)) void fail(ra_error_kind kind, const std::string& message);

}  // namespace ra

inline std::string str() { return {}; }
inline const char* str(const char* s) { return s; }
inline const std::string& str(const std::string& s) { return s; }
template <class... A>
std::string str(const A&... args) {
  ra::Text text;
  (void)std::initializer_list<int>{((void)(text << args), 0)...};
  return std::move(text.string);
}

namespace ra {

[[noreturn]] __attribute__((cold)) inline void fail(ra_error_kind kind,
                                                    const std::string& message) {
  switch (kind) {
    case RA_INDEX_ERROR:
      throw IndexError(message);
    case RA_VALUE_ERROR:
      throw ValueError(message);
    case RA_TYPE_ERROR:
      throw TypeError(message);
    case RA_NOT_IMPLEMENTED_ERROR:
      throw NotImplementedError(message);
    case RA_LINALG_ERROR:
      throw LinAlgError(message);
    case RA_OUT_OF_MEMORY_ERROR:
      throw OutOfMemoryError(message);
    case RA_BUFFER_ERROR:
      throw BufferError(message);
    default:
      throw Error(RA_ERROR, message);
  }
}

template <class E>
[[noreturn]] __attribute__((cold)) void throw_kept(const std::string& message) {
  E error(message);
  error.ra_keep();
  throw error;
}

// The shim kept an exception of torch's: throw what a catch clause would have seen.
[[noreturn]] __attribute__((cold)) inline void rethrow() {
  ra_error_kind kind;
  int32_t type;
  const char* message;
  ra_last_error(&kind, &message, &type);
  switch (type) {
    case RA_INDEX_ERROR:
      throw_kept<IndexError>(message);
    case RA_VALUE_ERROR:
      throw_kept<ValueError>(message);
    case RA_TYPE_ERROR:
      throw_kept<TypeError>(message);
    case RA_NOT_IMPLEMENTED_ERROR:
      throw_kept<NotImplementedError>(message);
    case RA_LINALG_ERROR:
      throw_kept<LinAlgError>(message);
    case RA_OUT_OF_MEMORY_ERROR:
      throw_kept<OutOfMemoryError>(message);
    default:
      throw_kept<Error>(message);
  }
}

inline void check(int status) {
  if (C10_UNLIKELY(status != 0)) rethrow();
}

}  // namespace ra

namespace detail {
[[noreturn]] inline void torchCheckFail(const char*, const char*, uint32_t,
                                        const std::string& message) {
  ::c10::ra::fail(RA_ERROR, message);
}
[[noreturn]] inline void torchInternalAssertFail(const char*, const char*, uint32_t,
                                                 const char* condition,
                                                 const std::string& message) {
  ::c10::ra::fail(RA_ERROR, condition + message);
}
template <class... A>
auto torchCheckMsgImpl(const char*, const A&... args) {
  return ::c10::str(args...);
}
inline const char* torchCheckMsgImpl(const char* message) { return message; }
inline const char* torchCheckMsgImpl(const char*, const char* args) { return args; }
}  // namespace detail

class Warning {
 public:
  struct UserWarning {
    static constexpr int deprecation = 0;
  };
  struct DeprecationWarning {
    static constexpr int deprecation = 1;
  };
};
using UserWarning = Warning::UserWarning;
using DeprecationWarning = Warning::DeprecationWarning;

template <class T>
const T& ArrayRef<T>::front() const {
  if (empty()) ra::fail(RA_ERROR, "ArrayRef: attempted to access front() of empty list");
  return Data[0];
}
template <class T>
const T& ArrayRef<T>::back() const {
  if (empty()) ra::fail(RA_ERROR, "ArrayRef: attempted to access back() of empty list");
  return Data[Length - 1];
}
template <class T>
const T& ArrayRef<T>::at(size_t index) const {
  if (index >= Length)
    ra::fail(RA_ERROR, str("ArrayRef: invalid index Index = ", index, "; Length = ", Length));
  return Data[index];
}
template <class T>
ArrayRef<T> ArrayRef<T>::slice(size_t first, size_t count) const {
  if (first + count > Length)
    ra::fail(RA_ERROR,
             str("ArrayRef: invalid slice, N = ", first, "; M = ", count, "; size = ", Length));
  return ArrayRef<T>(Data + first, count);
}
inline Device::Device(const std::string& text) : type_(DeviceType::CPU) {
  int32_t type, index;
  ra::check(ra_parse_device(text.c_str(), &type, &index));
  type_ = static_cast<DeviceType>(type);
  index_ = static_cast<DeviceIndex>(index);
}
inline ScalarType promoteTypes(ScalarType a, ScalarType b) {
  int32_t out;
  ra::check(ra_promote(static_cast<int32_t>(a), static_cast<int32_t>(b), &out));
  return static_cast<ScalarType>(out);
}
inline int64_t maybe_wrap_dim(int64_t dim, int64_t rank, bool wrap_scalar = true) {
  if (rank == 0) {
    if (!wrap_scalar)
      ra::fail(RA_INDEX_ERROR,
               str("Dimension specified as ", dim, " but tensor has no dimensions"));
    rank = 1;
  }
  if (dim < -rank || dim >= rank)
    ra::fail(RA_INDEX_ERROR, str("Dimension out of range (expected to be in range of [", -rank,
                                 ", ", rank - 1, "], but got ", dim, ")"));
  return dim < 0 ? dim + rank : dim;
}
template <class Dims>
void maybe_wrap_dims(Dims& dims, int64_t rank, bool wrap_scalar = true) {
  for (auto& dim : dims) dim = maybe_wrap_dim(dim, rank, wrap_scalar);
}

#ifdef RA_USES_STREAMS
#define RA_PRINTS(type) \
  inline std::ostream& operator<<(std::ostream& out, type value) { return out << str(value); }
RA_PRINTS(ScalarType)
RA_PRINTS(DeviceType)
RA_PRINTS(const Device&)
RA_PRINTS(Layout)
RA_PRINTS(MemoryFormat)
#undef RA_PRINTS
template <class T>
std::ostream& operator<<(std::ostream& out, ArrayRef<T> items) {
  ra::Text text;
  text << items;
  return out << text.string;
}
#endif

}  // namespace c10

#ifdef RA_USES_STREAMS
namespace caffe2 {
inline std::ostream& operator<<(std::ostream& out, TypeMeta value) { return out << value.name(); }
}  // namespace caffe2
namespace std {  // where c10/util/logging_is_not_google_glog.h has it too
template <class... T>
ostream& operator<<(ostream& out, const vector<T...>& items) {
  ::c10::ra::Text text;
  text << items;
  return out << text.string;
}
}  // namespace std
#endif

#define TORCH_CHECK_MSG(cond, type, ...) \
  (::c10::detail::torchCheckMsgImpl(                                                  \
      "Expected " #cond " to be true, but got false.  "                               \
      "(Could this error message be improved?  If so, "                               \
      "please report an enhancement request to PyTorch.)", ##__VA_ARGS__))
#define RA_CHECK_AS(kind, cond, type, ...)                             \
  if (C10_UNLIKELY(!(cond))) {                                         \
    ::c10::ra::fail(kind, TORCH_CHECK_MSG(cond, type, ##__VA_ARGS__)); \
  }
#define TORCH_CHECK(cond, ...)                                                         \
  if (C10_UNLIKELY(!(cond))) {                                                         \
    ::c10::detail::torchCheckFail(__func__, __FILE__, static_cast<uint32_t>(__LINE__), \
                                  TORCH_CHECK_MSG(cond, "", ##__VA_ARGS__));           \
  }
#define TORCH_CHECK_WITH_MSG(error_t, cond, type, ...)                \
  if (C10_UNLIKELY(!(cond))) {                                        \
    throw ::c10::error_t(TORCH_CHECK_MSG(cond, type, ##__VA_ARGS__)); \
  }
#define TORCH_CHECK_WITH(error_t, cond, ...) TORCH_CHECK_WITH_MSG(error_t, cond, "", ##__VA_ARGS__)
#define TORCH_CHECK_INDEX(cond, ...) RA_CHECK_AS(RA_INDEX_ERROR, cond, "INDEX", ##__VA_ARGS__)
#define TORCH_CHECK_VALUE(cond, ...) RA_CHECK_AS(RA_VALUE_ERROR, cond, "VALUE", ##__VA_ARGS__)
#define TORCH_CHECK_TYPE(cond, ...) RA_CHECK_AS(RA_TYPE_ERROR, cond, "TYPE", ##__VA_ARGS__)
#define TORCH_CHECK_LINALG(cond, ...) RA_CHECK_AS(RA_LINALG_ERROR, cond, "LINALG", ##__VA_ARGS__)
#define TORCH_CHECK_NOT_IMPLEMENTED(cond, ...) \
  RA_CHECK_AS(RA_NOT_IMPLEMENTED_ERROR, cond, "TYPE", ##__VA_ARGS__)
#define TORCH_CHECK_BUFFER(cond, ...) RA_CHECK_AS(RA_BUFFER_ERROR, cond, "TYPE", ##__VA_ARGS__)
#define TORCH_CHECK_ARG(cond, argN, ...) \
  TORCH_CHECK(cond, "invalid argument ", argN, ": ", __VA_ARGS__)
#if defined(__CUDACC__)
#define TORCH_CHECK_IF_NOT_ON_CUDA(cond, ...)
#else
#define TORCH_CHECK_IF_NOT_ON_CUDA(cond, ...) TORCH_CHECK(cond, ##__VA_ARGS__)
#endif
#define STD_TORCH_CHECK(cond, ...)                                                  \
  if (C10_UNLIKELY(!(cond))) {                                                      \
    throw std::runtime_error(::c10::str(TORCH_CHECK_MSG(cond, "", ##__VA_ARGS__))); \
  }
#define TORCH_INTERNAL_ASSERT(cond, ...)                                               \
  if (C10_UNLIKELY(!(cond))) {                                                         \
    ::c10::detail::torchInternalAssertFail(                                            \
        __func__, __FILE__, static_cast<uint32_t>(__LINE__),                           \
        #cond " INTERNAL ASSERT FAILED at " C10_STRINGIZE(__FILE__) ":" C10_STRINGIZE( \
            __LINE__) ", please report a bug to PyTorch. ",                            \
        ::c10::str(__VA_ARGS__));                                                      \
  }
#ifdef NDEBUG
#define TORCH_INTERNAL_ASSERT_DEBUG_ONLY(...) \
  while (false) TORCH_INTERNAL_ASSERT(__VA_ARGS__)
#else
#define TORCH_INTERNAL_ASSERT_DEBUG_ONLY(...) TORCH_INTERNAL_ASSERT(__VA_ARGS__)
#endif
#define C10_THROW_ERROR(err_type, msg) throw ::c10::err_type(msg)
#define AT_ASSERT(...)                  \
  do {                                  \
    TORCH_INTERNAL_ASSERT(__VA_ARGS__); \
  } while (false)
#define AT_ASSERTM(cond, ...)                 \
  do {                                        \
    TORCH_INTERNAL_ASSERT(cond, __VA_ARGS__); \
  } while (false)
#define CAFFE_ENFORCE(condition, ...)                                           \
  do {                                                                          \
    if (C10_UNLIKELY(!(condition)))                                             \
      ::c10::ra::not_met(__FILE__, static_cast<uint32_t>(__LINE__), #condition, \
                         ::c10::str(__VA_ARGS__));                              \
  } while (false)
#define CAFFE_THROW(...) \
  ::c10::ra::not_met(__FILE__, static_cast<uint32_t>(__LINE__), "", ::c10::str(__VA_ARGS__))
#define AT_ERROR(...)                            \
  do {                                           \
    TORCH_CHECK(false, ::c10::str(__VA_ARGS__)); \
  } while (false)
#define RA_WARN(kind, ...)                                           \
  ra_warn(kind, __func__, __FILE__, static_cast<uint32_t>(__LINE__), \
          ::c10::ra::owned(::c10::str(__VA_ARGS__)).c_str());
#define TORCH_WARN(...) RA_WARN(0, __VA_ARGS__)
#define TORCH_WARN_DEPRECATION(...) RA_WARN(1, __VA_ARGS__)
#define TORCH_WARN_ONCE(...)                                                          \
  [[maybe_unused]] static const auto C10_ANONYMOUS_VARIABLE(torch_warn_once_) = [&] { \
    TORCH_WARN(__VA_ARGS__);                                                          \
    return true;                                                                      \
  }()
namespace c10::ra {
inline std::string owned(std::string text) { return text; }
[[noreturn]] inline void not_met(std::string_view file, uint32_t line, const char* condition,
                                 const std::string& message) {
  const auto place = file.substr(file.rfind('/') + 1);
  fail(RA_ERROR, str("[enforce fail at ", place, ":", line, "] ", condition, ". ", message));
}

// TORCH_CHECK_EQ(a, b) << "more": throws at the end of the statement.
class CheckMessage {
 public:
  CheckMessage(const char* file, uint32_t line) : file_(file), line_(line) {}
  template <class T>
  CheckMessage& operator<<(const T& value) {
    text_ << value;
    return *this;
  }
  ~CheckMessage() noexcept(false) {
    char* whole;
    ra_log_fatal(file_, line_, text_.string.c_str(), &whole);
    const std::string message(whole);
    ra_free(whole);
    fail(RA_ERROR, message);
  }

 private:
  const char* file_;
  uint32_t line_;
  Text text_;
};
struct Voidify {
  void operator&(const CheckMessage&) const {}
};
}  // namespace c10::ra
#define TORCH_CHECK_OP(a, b, op)                                                            \
  ((a)op(b)) ? (void)0                                                                      \
             : ::c10::ra::Voidify() & ::c10::ra::CheckMessage(__FILE__, __LINE__)           \
                                          << "Check failed: " #a " " #op " " #b " (" << (a) \
                                          << " vs. " << (b) << "). "
#define TORCH_CHECK_EQ(a, b) TORCH_CHECK_OP(a, b, ==)
#define TORCH_CHECK_NE(a, b) TORCH_CHECK_OP(a, b, !=)
#define TORCH_CHECK_LE(a, b) TORCH_CHECK_OP(a, b, <=)
#define TORCH_CHECK_LT(a, b) TORCH_CHECK_OP(a, b, <)
#define TORCH_CHECK_GE(a, b) TORCH_CHECK_OP(a, b, >=)
#define TORCH_CHECK_GT(a, b) TORCH_CHECK_OP(a, b, >)
#ifdef NDEBUG
#define RA_DCHECK_OP(a, b, op) \
  while (false) TORCH_CHECK_OP(a, b, op)
#else
#define RA_DCHECK_OP(a, b, op) TORCH_CHECK_OP(a, b, op)
#endif
#define TORCH_DCHECK_EQ(a, b) RA_DCHECK_OP(a, b, ==)
#define TORCH_DCHECK_NE(a, b) RA_DCHECK_OP(a, b, !=)
#define TORCH_DCHECK_LE(a, b) RA_DCHECK_OP(a, b, <=)
#define TORCH_DCHECK_LT(a, b) RA_DCHECK_OP(a, b, <)
#define TORCH_DCHECK_GE(a, b) RA_DCHECK_OP(a, b, >=)
#define TORCH_DCHECK_GT(a, b) RA_DCHECK_OP(a, b, >)
