// Owns calling any ATen operator by its schema through the shim: packing arguments, unpacking
// results. Leaves which operators exist to the wrappers taken from torch's own declarations.
#pragma once
#include <array>

#include "scalar.h"
#ifdef RA_USES_GENERATORS
#include "generator.h"
#endif

namespace at {
class Tensor;
using TensorList = c10::ArrayRef<Tensor>;
using ITensorList = TensorList;
using ITensorListRef = TensorList;
#ifndef RA_USES_GENERATORS
struct Generator {};  // only ever absent
#endif
namespace Reduction {
enum Reduction { None, Mean, Sum, END };
}  // namespace Reduction
}  // namespace at

namespace c10 {
class TensorImpl;  // never complete: what asks it anything needs torch's own headers
// Copied, not shared, unlike torch's: nobody keeps one.
template <class T>
class List : public std::vector<T> {
 public:
  using std::vector<T>::vector;
  List() = default;
  List(ArrayRef<T> items) : std::vector<T>(items.begin(), items.end()) {}
  T get(size_t index) const { return this->at(index); }
  void set(size_t index, T value) { this->at(index) = std::move(value); }
  std::vector<T> vec() const { return *this; }
};
}  // namespace c10

namespace c10::ra {

void* tensor_pointer(const at::Tensor& t);
at::Tensor adopt(void* impl);

// One argument of an operator. Borrows; lists of tensors keep their pointers in `pointers_`. Until
// Tensor is complete nothing here may construct a Value from one argument.
class Value {
 public:
  Value(const at::Tensor& t) : Value(RA_TENSOR, tensor_pointer(t), 0) {}
  Value(std::nullopt_t) : v_{} {}
#ifdef RA_USES_GENERATORS
  Value(const at::Generator& g) : v_{} {
    if (g.defined()) set(RA_GENERATOR, g.unsafeGetGeneratorImpl(), 0);
  }
#else
  Value(at::Generator) : v_{} {}
#endif
  Value(const Scalar& s) : v_(s.ra()) {}
  Value(bool b) : v_{RA_BOOL, {b}, {0}} {}
  Value(int i) : v_{RA_INT, {i}, {0}} {}
  Value(int64_t i) : v_{RA_INT, {i}, {0}} {}
  Value(double d) : v_{RA_DOUBLE, {}, {0}} { v_.d = d; }
  Value(ScalarType t) : v_{RA_DTYPE, {static_cast<int64_t>(t)}, {0}} {}
  Value(TypeMeta t) : v_{RA_DTYPE, {static_cast<int64_t>(t.toScalarType())}, {0}} {}
  Value(Device d) : v_{RA_DEVICE, {static_cast<int64_t>(d.type())}, {d.index()}} {}
  Value(Layout l) : v_{RA_LAYOUT, {static_cast<int64_t>(l)}, {0}} {}
  Value(MemoryFormat f) : v_{RA_MEMORY_FORMAT, {static_cast<int64_t>(f)}, {0}} {}
  Value(IntArrayRef a) : Value(RA_INTS, a.data(), a.size()) {}
  Value(ArrayRef<double> a) : Value(RA_DOUBLES, a.data(), a.size()) {}
  Value(ArrayRef<bool> a) : Value(RA_BOOLS, a.data(), a.size()) {}
  Value(OptionalIntArrayRef a) : v_{} {
    if (a.has_value()) set(RA_INTS, a->data(), a->size());
  }
  Value(const std::string& s) : Value(RA_STRING, s.data(), s.size()) {}
  Value(std::string_view s) : Value(RA_STRING, s.data(), s.size()) {}
  Value(at::TensorList list);
  Value(const List<std::optional<at::Tensor>>& list);
  template <class T>
  Value(const std::optional<T>& o) : v_{} {
    if (o) *this = Value(*o);
  }
  template <size_t N>
  Value(const std::array<bool, N>& a) : Value(RA_BOOLS, a.data(), N) {}
  const ra_value& get() {
    if (v_.tag == RA_TENSORS) v_.p = pointers_.data();
    return v_;
  }

 private:
  Value(ra_tag tag, const void* p, size_t n) : v_{} { set(tag, p, n); }
  void set(ra_tag tag, const void* p, size_t n) {
    v_.tag = tag;
    v_.p = p;
    v_.n = static_cast<int64_t>(n);
  }
  ra_value v_;
  std::vector<void*> pointers_;
};

// A wrapper's operator, looked up at its first call.
class Operator {
 public:
  Operator(const char* name, const char* overload) { check(ra_find(name, overload, &op_)); }
  void run(std::initializer_list<Value> arguments, ra_value* out, int64_t room) const {
    std::vector<ra_value> plain;
    plain.reserve(arguments.size());
    for (const auto& a : arguments) plain.push_back(const_cast<Value&>(a).get());
    check(ra_call(op_, plain.data(), static_cast<int64_t>(plain.size()), out, room));
  }

 private:
  void* op_ = nullptr;
};

template <class R>
struct Result;  // how an operator's result becomes a C++ value
template <>
struct Result<at::Tensor> {
  static at::Tensor take(const ra_value& v);
};
template <>
struct Result<std::vector<at::Tensor>> {
  static std::vector<at::Tensor> take(const ra_value& v);
};
template <>
struct Result<bool> {
  static bool take(const ra_value& v) { return v.i != 0; }
};
template <>
struct Result<int64_t> {
  static int64_t take(const ra_value& v) { return v.i; }
};
template <>
struct Result<double> {
  static double take(const ra_value& v) { return v.d; }
};
template <>
struct Result<Scalar> {
  static Scalar take(const ra_value& v) { return Scalar(v); }
};
template <>
struct Result<ScalarType> {
  static ScalarType take(const ra_value& v) { return static_cast<ScalarType>(v.i); }
};

template <class R>
struct Call {
  static R run(const Operator& op, std::initializer_list<Value> arguments) {
    ra_value out{};
    op.run(arguments, &out, 1);
    return Result<R>::take(out);
  }
};
template <>
struct Call<void> {
  static void run(const Operator& op, std::initializer_list<Value> arguments) {
    ra_value out[8] = {};
    op.run(arguments, out, 8);
    for (auto& v : out)
      if (v.tag == RA_TENSOR && v.p != nullptr) ra_decref(const_cast<void*>(v.p));
  }
};
template <class... R>
struct Call<std::tuple<R...>> {
  template <size_t... I>
  static std::tuple<R...> take(const ra_value* out, std::index_sequence<I...>) {
    return std::tuple<R...>(Result<R>::take(out[I])...);
  }
  static std::tuple<R...> run(const Operator& op, std::initializer_list<Value> arguments) {
    ra_value out[sizeof...(R)] = {};
    op.run(arguments, out, sizeof...(R));
    return take(out, std::index_sequence_for<R...>{});
  }
};

}  // namespace c10::ra

// The body of every wrapper in <candidate/...>. RA_TYPE keeps the commas of a tuple together.
#define RA_TYPE(...) __VA_ARGS__
#define RA_CALL(result, name, overload, ...)              \
  static const ::c10::ra::Operator ra_op(name, overload); \
  return ::c10::ra::Call<result>::run(ra_op, {__VA_ARGS__})
#define RA_RUN(name, overload, ...)                       \
  static const ::c10::ra::Operator ra_op(name, overload); \
  ::c10::ra::Call<void>::run(ra_op, {__VA_ARGS__})
