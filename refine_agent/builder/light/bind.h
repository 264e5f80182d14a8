// Owns Python bindings: RA_BIND(f) deduces f's arguments and result from its declaration and
// converts as pybind11 would. Leaves Python itself to the shim, so that <Python.h> is never parsed.
#pragma once
#include <array>
#include <new>
#ifdef RA_USES_MAPS
#include <map>
#include <unordered_map>
#endif

#include "extension.h"

namespace c10::ra {

// Python.<T>: load() fits an argument, get() passes it, give() makes a result, describe() names it.
template <class T, class = void>
struct Python {
  static_assert(!std::is_same_v<T, T>,
                "ra: the light bindings do not know this argument or result type");
};

template <class T, ra_kind kind, char code>
struct Plain {
  T value{};
  static void describe(std::string& out) { out += code; }
};

#define RA_PLAIN_INTEGER(type, kind)                                \
  template <>                                                       \
  struct Python<type> : Plain<type, kind, 'i'> {                    \
    bool load(void* o) {                                            \
      ra_value v;                                                   \
      if (ra_from_python(kind, o, &v) != 0) return false;           \
      value = static_cast<type>(v.i);                               \
      return true;                                                  \
    }                                                               \
    static void* give(type v) {                                     \
      const ra_value plain{RA_INT, {static_cast<int64_t>(v)}, {0}}; \
      return ra_to_python(kind, &plain);                            \
    }                                                               \
  };
RA_PLAIN_INTEGER(signed char, RA_PY_I8)
RA_PLAIN_INTEGER(unsigned char, RA_PY_U8)
RA_PLAIN_INTEGER(short, RA_PY_I16)
RA_PLAIN_INTEGER(unsigned short, RA_PY_U16)
RA_PLAIN_INTEGER(int, RA_PY_I32)
RA_PLAIN_INTEGER(unsigned, RA_PY_U32)
RA_PLAIN_INTEGER(long, RA_PY_I64)
RA_PLAIN_INTEGER(unsigned long, RA_PY_U64)
RA_PLAIN_INTEGER(long long, RA_PY_I64)
RA_PLAIN_INTEGER(unsigned long long, RA_PY_U64)
#undef RA_PLAIN_INTEGER

#define RA_PLAIN_TYPE(type, kind, code, in, out)               \
  template <>                                                  \
  struct Python<type> {                                        \
    type value{RA_PLAIN_START_##code};                         \
    static void describe(std::string& text) { text += #code; } \
    bool load(void* o) {                                       \
      ra_value v;                                              \
      if (ra_from_python(kind, o, &v) != 0) return false;      \
      in;                                                      \
      return true;                                             \
    }                                                          \
    static void* give(const type& result) {                    \
      ra_value v{};                                            \
      out;                                                     \
      return ra_to_python(kind, &v);                           \
    }                                                          \
  };
#define RA_PLAIN_START_b false
#define RA_PLAIN_START_f 0
#define RA_PLAIN_START_S
#define RA_PLAIN_START_s
#define RA_PLAIN_START_d DeviceType::CPU
#define RA_PLAIN_START_t ScalarType::Float
#define RA_PLAIN_START_l Layout::Strided
#define RA_PLAIN_START_m MemoryFormat::Contiguous
RA_PLAIN_TYPE(bool, RA_PY_BOOL, b, value = v.i != 0, v.i = result)
RA_PLAIN_TYPE(float, RA_PY_FLOAT, f, value = static_cast<float>(v.d), v.d = result)
RA_PLAIN_TYPE(double, RA_PY_DOUBLE, f, value = v.d, v.d = result)
RA_PLAIN_TYPE(Scalar, RA_PY_SCALAR, S, value = Scalar(v), v = result.ra())
RA_PLAIN_TYPE(Device, RA_PY_DEVICE, d,
              value = Device(static_cast<DeviceType>(v.i), static_cast<DeviceIndex>(v.n)),
              (v.i = static_cast<int64_t>(result.type()), v.n = result.index()))
RA_PLAIN_TYPE(ScalarType, RA_PY_DTYPE, t, value = static_cast<ScalarType>(v.i),
              v.i = static_cast<int64_t>(result))
RA_PLAIN_TYPE(Layout, RA_PY_LAYOUT, l, value = static_cast<Layout>(v.i),
              v.i = static_cast<int64_t>(result))
RA_PLAIN_TYPE(MemoryFormat, RA_PY_MEMORY_FORMAT, m, value = static_cast<MemoryFormat>(v.i),
              v.i = static_cast<int64_t>(result))
RA_PLAIN_TYPE(std::string, RA_PY_STRING, s,
              (value.assign(static_cast<const char*>(v.p), v.n), ra_free(v.p)),
              (v.p = result.data(), v.n = static_cast<int64_t>(result.size())))
#undef RA_PLAIN_TYPE

template <>
struct Python<std::string_view> : Python<std::string> {};
template <>
struct Python<const char*> {
  static void describe(std::string& text) { text += 's'; }
  Python<std::string> held;
  const char* value = nullptr;
  bool load(void* o) {
    if (!held.load(o)) return false;
    value = held.value.c_str();
    return true;
  }
  static void* give(const char* s) {
    return s == nullptr ? ra_retain_none() : Python<std::string>::give(s);
  }
};

template <>
struct Python<at::Tensor> {
  at::Tensor value;
  static void describe(std::string& text) { text += 'T'; }
  bool load(void* o) {
    ra_value v;
    if (ra_from_python(RA_PY_TENSOR, o, &v) != 0) return false;
    value = adopt(const_cast<void*>(v.p));
    return true;
  }
  static void* give(at::Tensor t) {
    ra_value v{RA_TENSOR, {}, {0}};
    v.p = t.release();
    return ra_to_python(RA_PY_TENSOR, &v);
  }
};

// torch converts nothing to these: a function that takes one can be bound, and never called.
template <class T, char code>
struct Unconvertible {
  T value;
  static void describe(std::string& text) { text += code; }
  bool load(void*) { return false; }
};
template <>
struct Python<at::TensorList> : Unconvertible<at::TensorList, 'L'> {};
template <>
struct Python<OptionalIntArrayRef> : Unconvertible<OptionalIntArrayRef, 'O'> {};

#ifdef RA_USES_GENERATORS
template <>
struct Python<at::Generator> {
  at::Generator value;
  static void describe(std::string& text) { text += 'G'; }
  bool load(void* o) {
    ra_value v;
    if (ra_from_python(RA_PY_GENERATOR, o, &v) != 0) return false;
    value = at::Generator::adopt(const_cast<void*>(v.p));
    return true;
  }
};
#endif

#ifdef RA_USES_COMPLEX
template <class T>
struct Python<complex<T>> {
  complex<T> value;
  static void describe(std::string& text) { text += 'c'; }
  bool load(void* o) {
    ra_value v;
    if (ra_from_python(RA_PY_COMPLEX, o, &v) != 0) return false;
    value = complex<T>(static_cast<T>(v.d), static_cast<T>(v.e));
    return true;
  }
  static void* give(const complex<T>& result) {
    ra_value v{RA_COMPLEX, {}, {0}};
    v.d = static_cast<double>(result.real());
    v.e = static_cast<double>(result.imag());
    return ra_to_python(RA_PY_COMPLEX, &v);
  }
};
#endif

template <>
struct Python<IntArrayRef> {
  std::vector<int64_t> held;
  IntArrayRef value;
  static void describe(std::string& text) { text += 'I'; }
  bool load(void* o) {
    ra_value v;
    if (ra_from_python(RA_PY_INTS, o, &v) != 0) return false;
    const auto* items = static_cast<const int64_t*>(v.p);
    held.assign(items, items + v.n);
    ra_free(v.p);
    value = IntArrayRef(held);
    return true;
  }
  static void* give(IntArrayRef a) {
    ra_value v{RA_INTS, {}, {static_cast<int64_t>(a.size())}};
    v.p = a.data();
    return ra_to_python(RA_PY_INTS, &v);
  }
};

template <class T>
struct Python<std::vector<T>> {
  std::vector<T> value;
  static void describe(std::string& text) {
    text += '[';
    Python<T>::describe(text);
    text += ']';
  }
  bool load(void* o) {
    void* items = ra_sequence(o);
    if (items == nullptr) return false;
    const auto count = ra_sequence_size(items);
    bool fits = true;
    for (int64_t i = 0; fits && i < count; ++i) {
      Python<T> item;
      fits = item.load(ra_sequence_item(items, i));
      if (fits) value.push_back(std::move(item.value));
    }
    ra_release(items);
    return fits;
  }
  static void* give(const std::vector<T>& result) {
    void* list = ra_list(static_cast<int64_t>(result.size()));
    for (size_t i = 0; list != nullptr && i < result.size(); ++i) {
      void* item = Python<T>::give(result[i]);
      if (item == nullptr) {
        ra_release(list);
        return nullptr;
      }
      ra_list_set(list, static_cast<int64_t>(i), item);
    }
    return list;
  }
};

template <class T>
struct Python<std::optional<T>> {
  std::optional<T> value;
  Python<T> held;  // outlives what `value` may refer to
  static void describe(std::string& text) {
    text += '?';
    Python<T>::describe(text);
  }
  bool load(void* o) {
    if (ra_is_none(o)) return true;
    if (!held.load(o)) return false;
    value.emplace(std::move(held.value));
    return true;
  }
  static void* give(const std::optional<T>& result) {
    return result ? Python<T>::give(*result) : ra_retain_none();
  }
};

template <class... T>
struct PythonTuple {
  static void describe(std::string& text) {
    text += '(';
    (Python<T>::describe(text), ...);
    text += ')';
  }
  static void* pack(std::initializer_list<void*> items) {
    void* tuple = ra_tuple(static_cast<int64_t>(sizeof...(T)));
    int64_t i = 0;
    for (void* item : items) {
      if (item == nullptr) {
        ra_release(tuple);
        return nullptr;
      }
      ra_tuple_set(tuple, i++, item);
    }
    return tuple;
  }
  template <class Tuple, size_t... I>
  static bool unpack(void* o, Tuple& value, std::index_sequence<I...>) {
    void* items = ra_sequence(o);
    if (items == nullptr) return false;
    std::tuple<Python<T>...> loaded;
    bool fits = ra_sequence_size(items) == static_cast<int64_t>(sizeof...(T));
    fits = fits && (std::get<I>(loaded).load(ra_sequence_item(items, I)) && ...);
    if (fits) value = Tuple(std::move(std::get<I>(loaded).value)...);
    ra_release(items);
    return fits;
  }
};
template <class... T>
struct Python<std::tuple<T...>> : PythonTuple<std::decay_t<T>...> {
  std::tuple<T...> value;
  bool load(void* o) {
    return PythonTuple<std::decay_t<T>...>::unpack(o, value, std::index_sequence_for<T...>{});
  }
  static void* give(const std::tuple<T...>& result) {
    return std::apply(
        [](const auto&... item) {
          return PythonTuple<std::decay_t<T>...>::pack({Python<std::decay_t<T>>::give(item)...});
        },
        result);
  }
};
template <class A, class B>
struct Python<std::pair<A, B>> : PythonTuple<A, B> {
  std::pair<A, B> value;
  bool load(void* o) { return PythonTuple<A, B>::unpack(o, value, std::index_sequence<0, 1>{}); }
  static void* give(const std::pair<A, B>& result) {
    return PythonTuple<A, B>::pack({Python<A>::give(result.first), Python<B>::give(result.second)});
  }
};
template <class T, size_t N>
struct Python<std::array<T, N>> {
  std::array<T, N> value{};
  static void describe(std::string& text) {
    text += 'A';
    Python<T>::describe(text);
    text += std::to_string(N) + "]";
  }
  bool load(void* o) {
    Python<std::vector<T>> items;
    if (!items.load(o) || items.value.size() != N) return false;
    for (size_t i = 0; i < N; ++i) value[i] = std::move(items.value[i]);
    return true;
  }
  static void* give(const std::array<T, N>& result) {
    return Python<std::vector<T>>::give({result.begin(), result.end()});
  }
};
template <class Map, class K, class V>
struct PythonMap {
  Map value;
  static void describe(std::string& text) {
    text += '{';
    Python<K>::describe(text);
    Python<V>::describe(text);
    text += '}';
  }
  bool load(void* o) {
    void* items = ra_dict_items(o);
    if (items == nullptr) return false;
    bool fits = true;
    for (int64_t i = 0; fits && i < ra_sequence_size(items); ++i) {
      Python<std::pair<K, V>> item;
      fits = item.load(ra_sequence_item(items, i));
      if (fits) value.emplace(std::move(item.value));
    }
    ra_release(items);
    return fits;
  }
  static void* give(const Map& result) {
    void* dict = ra_dict();
    for (const auto& [key, item] : result) {
      void* k = Python<K>::give(key);
      void* v = Python<V>::give(item);
      if (k == nullptr || v == nullptr || ra_dict_set(dict, k, v) != 0) {
        ra_release(dict);
        return nullptr;
      }
    }
    return dict;
  }
};

#ifdef RA_USES_MAPS
template <class K, class V>
struct Python<std::map<K, V>> : PythonMap<std::map<K, V>, K, V> {};
template <class K, class V>
struct Python<std::unordered_map<K, V>> : PythonMap<std::unordered_map<K, V>, K, V> {};
#endif

// The exception in flight, told to the shim. One copy, whatever the number of bound functions.
__attribute__((cold)) inline int raise_current() {
  try {
    throw;
  } catch (const Error& e) {
    ra_raise(e.ra_kind(), e.what_without_backtrace());
  } catch (const std::exception& e) {
    ra_raise(RA_STD_EXCEPTION, e.what());
  } catch (...) {
    ra_raise(RA_UNKNOWN_EXCEPTION, "");
  }
  return 2;
}

// The converters of one call, one per argument; std::tuple would do, for twice the compile time.
template <size_t I, class T>
struct Slot {
  Python<T> python;
};
template <class Index, class... T>
struct Slots;
template <size_t... I, class... T>
struct Slots<std::index_sequence<I...>, T...> : Slot<I, T>... {};
template <size_t I, class T>
Python<T>& slot(Slot<I, T>& s) {
  return s.python;
}

// Passes a loaded value as the parameter wants it: by value, by reference, or moved from.
template <class A, class P>
A pass(P& loaded) {
  return static_cast<A>(loaded.value);
}

// Converts the arguments, calls, converts the result; for functions that take A and return R.
template <class R, class... A>
struct Signature {
  static constexpr int64_t arity = sizeof...(A);
  template <class F, size_t... I>
  static int run(F&& f, [[maybe_unused]] void* const* arguments, void** out, int (*raise)(),
                 std::index_sequence<I...>) {
    [[maybe_unused]] Slots<std::index_sequence<I...>, std::decay_t<A>...> loaded;
    if (!(slot<I>(loaded).load(arguments[I]) && ...)) return 1;
    try {
      if constexpr (std::is_void_v<R>) {
        f(pass<A&&>(slot<I>(loaded))...);
        *out = ra_retain_none();
      } else {
        *out = Python<std::decay_t<R>>::give(f(pass<A&&>(slot<I>(loaded))...));
      }
    } catch (...) {
      return raise();
    }
    return 0;
  }
  static const char* text() {
    static std::string text;
    if (text.empty()) {
      (Python<std::decay_t<A>>::describe(text), ...);
      text += '>';
      if constexpr (std::is_void_v<R>)
        text += 'V';
      else
        Python<std::decay_t<R>>::describe(text);
    }
    return text.c_str();
  }
};

template <auto F>
struct Bound;
template <class R, class... A, R (*F)(A...)>
struct Bound<F> : Signature<R, A...> {
  using Pointer = R (*)(A...);
  static int call(void*, void* const* arguments, void** out) {
    return Signature<R, A...>::run(F, arguments, out, &raise_current,
                                   std::index_sequence_for<A...>{});
  }
};

}  // namespace c10::ra

// One RA_ENTRY(f) per function, after its declaration and its ra_doc_f; then
// RA_MODULE(&ra_record_f, ..., ) with a comma after each, and the module's name in
// TORCH_EXTENSION_NAME.
#define RA_ENTRY(f)                                                                      \
  static const ra_function* ra_record_##f();                                             \
  static void* ra_entry_##f(void*, void* const* arguments, long count, void* keywords) { \
    return ra_enter(ra_record_##f(), arguments, count, keywords);                        \
  }                                                                                      \
  static const ra_function* ra_record_##f() {                                            \
    using Bound = ::c10::ra::Bound<&f>;                                                  \
    static_assert(std::is_same_v<decltype(&f), Bound::Pointer>,                          \
                  "torch binds no function that is declared noexcept: " #f);             \
    static const ra_function record = {                                                  \
        #f,           ra_doc_##f,    reinterpret_cast<void*>(&ra_entry_##f),             \
        Bound::arity, Bound::text(), &Bound::call,                                       \
        nullptr,      nullptr,       nullptr};                                           \
    return &record;                                                                      \
  }
#define RA_MODULE(...)                                                     \
  extern "C" __attribute__((visibility("default"))) void* C10_CONCATENATE( \
      PyInit_, TORCH_EXTENSION_NAME)() {                                   \
    const ra_function* records[] = {__VA_ARGS__ nullptr};                  \
    return ra_module(C10_STRINGIZE(TORCH_EXTENSION_NAME), records,         \
                     sizeof records / sizeof records[0] - 1);              \
  }
