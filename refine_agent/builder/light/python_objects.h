// Owns pybind11 itself, for candidates that handle Python's objects, define classes or overloads,
// and its casters for what the light headers define. Leaves the rules of conversion to bind.h.
#pragma once
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bind.h"

namespace py = pybind11;

namespace pybind11::detail {

// Whether it fits; where a converter of torch's threw rather than said no, so does this.
template <class T>
bool ra_fits(::c10::ra::Python<T>& loaded, handle source) {
  if (loaded.load(source.ptr())) return true;
  if (ra_tell_conversion() != 0) throw error_already_set();
  return false;
}
template <class T>
handle ra_given(const T& value) {
  return static_cast<PyObject*>(::c10::ra::Python<T>::give(value));
}

#define RA_CASTER(type, text, ...)                                                                 \
  template <>                                                                                      \
  struct type_caster<type> {                                                                       \
    PYBIND11_TYPE_CASTER(type, const_name(text));                                                  \
    type_caster() : value(__VA_ARGS__) {}                                                          \
    bool load(handle source, bool) {                                                               \
      ::c10::ra::Python<type> loaded;                                                              \
      if (!ra_fits(loaded, source)) return false;                                                  \
      value = std::move(loaded.value);                                                             \
      return true;                                                                                 \
    }                                                                                              \
    static handle cast(const type& given, return_value_policy, handle) { return ra_given(given); } \
  }
RA_CASTER(at::Tensor, "torch.Tensor");
RA_CASTER(c10::Device, "torch.device", c10::DeviceType::CPU);
RA_CASTER(c10::ScalarType, "torch.dtype", c10::ScalarType::Float);
RA_CASTER(c10::Layout, "torch.layout", c10::Layout::Strided);
RA_CASTER(c10::MemoryFormat, "torch.memory_format", c10::MemoryFormat::Contiguous);
RA_CASTER(c10::Scalar, "Union[Number, torch.SymInt, torch.SymFloat, torch.SymBool]");
#ifdef RA_USES_GENERATORS
RA_CASTER(at::Generator, "torch.Generator");
#endif
#undef RA_CASTER

// What it refers to lives as long as the caster.
template <>
struct type_caster<c10::IntArrayRef> {
  PYBIND11_TYPE_CASTER(c10::IntArrayRef, const_name("Tuple[int, ...]"));
  bool load(handle source, bool) {
    const bool fits = ra_fits(held_, source);
    value = held_.value;
    return fits;
  }
  static handle cast(const c10::IntArrayRef& given, return_value_policy, handle) {
    return ra_given(given);
  }

 private:
  ::c10::ra::Python<c10::IntArrayRef> held_;
};

#ifdef RA_USES_COMPLEX
template <class T>
struct type_caster<c10::complex<T>> {
  PYBIND11_TYPE_CASTER(c10::complex<T>, const_name("complex"));
  bool load(handle source, bool) {
    ::c10::ra::Python<c10::complex<T>> loaded;
    if (!ra_fits(loaded, source)) return false;
    value = loaded.value;
    return true;
  }
  static handle cast(const c10::complex<T>& given, return_value_policy, handle) {
    return ra_given(given);
  }
};
#endif

}  // namespace pybind11::detail

namespace c10::ra {

// torch tells pybind11 of its own errors; these are the stand-in's.
inline void translate(std::exception_ptr thrown) {
  if (!thrown) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const Error&) {
    raise_current();
    ra_tell_raised();
  }
}
inline const bool translates = (pybind11::register_local_exception_translator(&translate), true);

}  // namespace c10::ra

namespace torch {

// As load_inline binds functions: what the standard library throws is a RuntimeError.
template <class R, class... A>
auto wrap_pybind_function(R (*f)(A...)) {
  return [f](A... a) -> R {
    try {
      return f(std::forward<A>(a)...);
    } catch (const c10::Error&) {
      throw;
    } catch (const pybind11::error_already_set&) {
      throw;
    } catch (const pybind11::builtin_exception&) {
      throw;
    } catch (const std::exception& e) {
      throw std::runtime_error(e.what());
    }
  };
}

}  // namespace torch
