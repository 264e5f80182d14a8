// Owns the accumulation types and small numeric functions that kernels name. Leaves arithmetic to
// half.h.
#pragma once
#include <cmath>

#include "half.h"
#ifdef RA_USES_FLOAT8
#include "float8.h"
#endif

namespace at {

template <class T>
struct OpMathType {
  using type = T;
};
template <>
struct OpMathType<Half> {
  using type = float;
};
template <>
struct OpMathType<BFloat16> {
  using type = float;
};
template <class T>
using opmath_type = typename OpMathType<T>::type;
inline ScalarType toOpMathType(ScalarType t) {
  return c10::isReducedFloatingType(t) ? ScalarType::Float : t;
}

namespace ra {
// CUDA accumulates float in float, the CPU in double; integers in int64 on both.
template <class T, bool on_cuda>
struct Accumulate {
  using type = std::conditional_t<
      std::is_same_v<T, bool>, bool,
      std::conditional_t<std::is_integral_v<T>, int64_t,
                         std::conditional_t<std::is_same_v<T, float>,
                                            std::conditional_t<on_cuda, float, double>, T>>>;
};
template <bool on_cuda>
struct Accumulate<Half, on_cuda> {
  using type = float;
};
template <bool on_cuda>
struct Accumulate<BFloat16, on_cuda> {
  using type = float;
};
}  // namespace ra
template <class T, bool is_cuda>
using acc_type = typename ra::Accumulate<T, is_cuda>::type;
template <class T, bool is_cuda>
struct AccumulateType {
  using type = acc_type<T, is_cuda>;
};

inline ScalarType toAccumulateType(ScalarType t, bool is_cuda) {
  if (c10::isReducedFloatingType(t)) return ScalarType::Float;
  if (t == ScalarType::Float) return is_cuda ? ScalarType::Float : ScalarType::Double;
  return isIntegralType(t, /*includeBool=*/false) ? ScalarType::Long : t;
}

template <class T, class = std::enable_if_t<std::is_integral_v<T>>>
C10_HOST_DEVICE T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}
template <class T, class = std::enable_if_t<std::is_integral_v<T>>>
C10_HOST_DEVICE T round_up(T a, T b) {
  return ceil_div(a, b) * b;
}
template <class T>
C10_HOST_DEVICE bool _isnan(T v) {
  if constexpr (std::is_integral_v<T>)
    return false;
  else
    return v != v;
}
template <class T>
C10_HOST_DEVICE bool _isinf(T v) {
  if constexpr (std::is_integral_v<T>)
    return false;
  else
    return static_cast<float>(v) - static_cast<float>(v) != 0 && v == v;
}

#ifdef RA_USES_FLOAT8
#define RA_FLOAT8(T)                  \
  template <>                         \
  struct OpMathType<T> {              \
    using type = float;               \
  };                                  \
  template <bool on_cuda>             \
  struct ra::Accumulate<T, on_cuda> { \
    using type = float;               \
  };                                  \
  C10_HOST_DEVICE inline bool _isnan(T v) { return v.isnan(); }
RA_FLOAT8(c10::Float8_e4m3fn)
RA_FLOAT8(c10::Float8_e5m2)
RA_FLOAT8(c10::Float8_e4m3fnuz)
RA_FLOAT8(c10::Float8_e5m2fnuz)
#undef RA_FLOAT8
#endif

}  // namespace at

namespace c10 {
template <class T>
constexpr T pi = static_cast<T>(3.14159265358979323846264338327950288L);
}  // namespace c10
