// Owns the part of pybind11 that modules of functions are defined with: PYBIND11_MODULE, def, arg,
// attr and the guard of Python's lock. Leaves classes, Python objects and overloads to pybind11.
#pragma once
#include <stdexcept>

#include "bind.h"

namespace pybind11 {

struct none {};

struct arg_v;
struct arg {
  constexpr explicit arg(const char* name) : name(name) {}
  template <class T>
  arg_v operator=(T&& value) const;
  const char* name;
};
struct arg_v : arg {
  arg_v(const arg& a, void* value) : arg(a), value(value) {}
  void* value;
};

inline namespace literals {
constexpr arg operator""_a(const char* name, size_t) { return arg(name); }
}  // namespace literals

class gil_scoped_release {
 public:
  gil_scoped_release() : thread_(ra_release_gil()) {}
  gil_scoped_release(const gil_scoped_release&) = delete;
  ~gil_scoped_release() { ra_restore_gil(thread_); }

 private:
  void* thread_;
};

template <class... Guards>
struct call_guard;
template <>
struct call_guard<> {
  struct type {
    type() {}
  };
};
template <class Guard>
struct call_guard<Guard> {
  using type = Guard;
};

}  // namespace pybind11
namespace py = pybind11;

namespace c10::ra {

template <>
struct Python<pybind11::none> {
  static void* give(pybind11::none) { return ra_retain_none(); }
};
template <>
struct Python<std::nullopt_t> {
  static void* give(std::nullopt_t) { return ra_retain_none(); }
};
template <>
struct Python<std::nullptr_t> {
  static void* give(std::nullptr_t) { return ra_retain_none(); }
};

// As pybind11 tells the standard library's exceptions apart.
inline int raise_as_pybind11() {
  const auto kept = [](ra_error_kind kind, const std::exception& e) {
    ra_raise(kind, e.what());
    return 2;
  };
  try {
    throw;
  } catch (const Error&) {
    return raise_current();
  } catch (const std::bad_alloc& e) {
    return kept(RA_STD_MEMORY, e);
  } catch (const std::domain_error& e) {
    return kept(RA_STD_VALUE, e);
  } catch (const std::invalid_argument& e) {
    return kept(RA_STD_VALUE, e);
  } catch (const std::length_error& e) {
    return kept(RA_STD_VALUE, e);
  } catch (const std::out_of_range& e) {
    return kept(RA_STD_INDEX, e);
  } catch (const std::range_error& e) {
    return kept(RA_STD_VALUE, e);
  } catch (const std::overflow_error& e) {
    return kept(RA_STD_OVERFLOW, e);
  } catch (...) {
    return raise_current();
  }
}

template <class... Extra>
struct GuardAmong {
  using type = pybind11::call_guard<>::type;
};
template <class Guard, class... Rest>
struct GuardAmong<pybind11::call_guard<Guard>, Rest...> {
  using type = Guard;
};
template <class First, class... Rest>
struct GuardAmong<First, Rest...> : GuardAmong<Rest...> {};

// What a definition says beyond the function itself.
struct Said {
  const char* doc = nullptr;
  std::vector<const char*> names;
  std::vector<void*> defaults;
  void note(const char* text) { doc = text; }
  void note(const pybind11::arg& a) { note(pybind11::arg_v(a, nullptr)); }
  void note(const pybind11::arg_v& a) {
    names.push_back(a.name);
    defaults.push_back(a.value);
  }
  template <class... Guards>
  void note(pybind11::call_guard<Guards...>) {}
};
template <class T>
constexpr int arguments_in = std::is_base_of_v<pybind11::arg, std::decay_t<T>> ? 1 : 0;

template <class F, class Guard, class R, class... A>
int call_own(void* state, void* const* arguments, void** out) {
  const auto guarded = [state](A... a) -> R {
    [[maybe_unused]] Guard guard;
    return (*static_cast<F*>(state))(std::forward<A>(a)...);
  };
  return Signature<R, A...>::run(guarded, arguments, out, &raise_as_pybind11,
                                 std::index_sequence_for<A...>{});
}

template <class F, class R, class... A, class... Extra>
void define(void* module, const char* name, F f, R (*)(A...), const Extra&... extra) {
  constexpr int named = (arguments_in<Extra> + ... + 0);
  static_assert(named == 0 || named == sizeof...(A),
                "The number of argument annotations does not match the number of function "
                "arguments");
  auto* said = new Said;  // as long as the module, and Python never unloads one
  (said->note(extra), ...);
  using Guard = typename GuardAmong<std::decay_t<Extra>...>::type;
  const auto* function = new ra_function{name,
                                         said->doc,
                                         nullptr,
                                         sizeof...(A),
                                         Signature<R, A...>::text(),
                                         &call_own<F, Guard, R, A...>,
                                         new F(std::move(f)),
                                         named ? said->names.data() : nullptr,
                                         named ? said->defaults.data() : nullptr};
  ra_define(module, function);
}

// The function type of a lambda.
template <class M>
struct Plainly;
template <class R, class C, class... A>
struct Plainly<R (C::*)(A...)> {
  using type = R (*)(A...);
};
template <class R, class C, class... A>
struct Plainly<R (C::*)(A...) const> {
  using type = R (*)(A...);
};

class Attribute {
 public:
  Attribute(void* module, const char* name) : module_(module), name_(name) {}
  template <class T>
  void operator=(const T& value) const {
    ra_set_attribute(module_, name_, Python<std::decay_t<const T&>>::give(value));
  }

 private:
  void* module_;
  const char* name_;
};

}  // namespace c10::ra

namespace pybind11 {

template <class T>
arg_v arg::operator=(T&& value) const {
  return arg_v(*this, c10::ra::Python<std::decay_t<T>>::give(value));
}

class module_ {
 public:
  explicit module_(void* module) : self_(module) {}
  template <class R, class... A, class... Extra>
  module_& def(const char* name, R (*f)(A...), const Extra&... extra) {
    c10::ra::define(self_, name, f, f, extra...);
    return *this;
  }
  template <class F, class... Extra, class M = decltype(&std::decay_t<F>::operator())>
  module_& def(const char* name, F&& f, const Extra&... extra) {
    using Function = typename c10::ra::Plainly<M>::type;
    c10::ra::define(self_, name, std::forward<F>(f), static_cast<Function>(nullptr), extra...);
    return *this;
  }
  c10::ra::Attribute attr(const char* name) const { return {self_, name}; }
  c10::ra::Attribute doc() const { return attr("__doc__"); }

 private:
  void* self_;
};
using module = module_;

}  // namespace pybind11

#define PYBIND11_MODULE(name, variable)                                                      \
  static void C10_CONCATENATE(ra_define_, name)(::pybind11::module_&);                       \
  static int C10_CONCATENATE(ra_fill_, name)(void* module) {                                 \
    try {                                                                                    \
      ::pybind11::module_ filled(module);                                                    \
      C10_CONCATENATE(ra_define_, name)(filled);                                             \
      return 0;                                                                              \
    } catch (...) {                                                                          \
      return ::c10::ra::raise_current();                                                     \
    }                                                                                        \
  }                                                                                          \
  extern "C" __attribute__((visibility("default"))) void* C10_CONCATENATE(PyInit_, name)() { \
    return ra_own_module(C10_STRINGIZE(name), &C10_CONCATENATE(ra_fill_, name));             \
  }                                                                                          \
  static void C10_CONCATENATE(ra_define_, name)([[maybe_unused]] ::pybind11::module_ & variable)
