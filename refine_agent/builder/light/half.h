// Owns c10::Half and c10::BFloat16: storage, conversions and arithmetic through float, as torch's.
// Leaves CUDA's own __half and __nv_bfloat16 to the toolkit's headers, which this one includes.
#pragma once
#include "scalar.h"

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace c10 {

namespace detail {
C10_HOST_DEVICE inline float fp32_from_bits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}
C10_HOST_DEVICE inline uint32_t fp32_to_bits(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}
// Scaling by powers of two lets the FPU round and denormalise (Maratyszcza's FP16).
C10_HOST_DEVICE inline float fp16_ieee_to_fp32_value(uint16_t h) {
  const uint32_t w = static_cast<uint32_t>(h) << 16;
  const uint32_t sign = w & 0x80000000u;
  const uint32_t two_w = w + w;
  const float normal = fp32_from_bits((two_w >> 4) + (0xE0u << 23)) * 0x1.0p-112f;
  const float denormal = fp32_from_bits((two_w >> 17) | (126u << 23)) - 0.5f;
  return fp32_from_bits(sign |
                        (two_w < (1u << 27) ? fp32_to_bits(denormal) : fp32_to_bits(normal)));
}
C10_HOST_DEVICE inline uint16_t fp16_ieee_from_fp32_value(float f) {
  const uint32_t w = fp32_to_bits(f);
  const uint32_t shl1_w = w + w;
  const uint32_t sign = w & 0x80000000u;
  uint32_t bias = shl1_w & 0xFF000000u;
  if (bias < 0x71000000u) bias = 0x71000000u;
  const float magnitude = fp32_from_bits(w & 0x7FFFFFFFu);
  float base = (magnitude * 0x1.0p+112f) * 0x1.0p-110f;
  base = fp32_from_bits((bias >> 1) + 0x07800000u) + base;
  const uint32_t bits = fp32_to_bits(base);
  const uint32_t nonsign = ((bits >> 13) & 0x00007C00u) + (bits & 0x00000FFFu);
  return static_cast<uint16_t>((sign >> 16) | (shl1_w > 0xFF000000u ? 0x7E00u : nonsign));
}
C10_HOST_DEVICE inline uint16_t round_to_nearest_even(float f) {
  if (f != f) return 0x7FC0;
  const uint32_t bits = fp32_to_bits(f);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
C10_HOST_DEVICE inline uint16_t half_bits(float f) {
#if defined(__CUDA_ARCH__)
  return __half_as_ushort(__float2half_rn(f));
#else
  return fp16_ieee_from_fp32_value(f);
#endif
}
C10_HOST_DEVICE inline uint16_t bfloat16_bits(float f) {
#if defined(__CUDA_ARCH__)
  return __bfloat16_as_ushort(__float2bfloat16(f));
#else
  return round_to_nearest_even(f);
#endif
}
}  // namespace detail

struct alignas(2) Half {
  unsigned short x;
  struct from_bits_t {};
  C10_HOST_DEVICE static constexpr from_bits_t from_bits() { return from_bits_t(); }
  Half() = default;
  constexpr C10_HOST_DEVICE Half(unsigned short bits, from_bits_t) : x(bits) {}
  C10_HOST_DEVICE Half(float value) : x(detail::half_bits(value)) {}
  C10_HOST_DEVICE operator float() const {
#if defined(__CUDA_ARCH__)
    return __half2float(__ushort_as_half(x));
#else
    return detail::fp16_ieee_to_fp32_value(x);
#endif
  }
#if defined(__CUDACC__)
  C10_HOST_DEVICE Half(const __half& value) {
    x = *reinterpret_cast<const unsigned short*>(&value);
  }
  C10_HOST_DEVICE operator __half() const { return *reinterpret_cast<const __half*>(&x); }
#endif
};

struct alignas(2) BFloat16 {
  uint16_t x;
  struct from_bits_t {};
  C10_HOST_DEVICE static constexpr from_bits_t from_bits() { return from_bits_t(); }
  BFloat16() = default;
  constexpr C10_HOST_DEVICE BFloat16(unsigned short bits, from_bits_t) : x(bits) {}
  C10_HOST_DEVICE BFloat16(float value) : x(detail::bfloat16_bits(value)) {}
  C10_HOST_DEVICE operator float() const {
    return detail::fp32_from_bits(static_cast<uint32_t>(x) << 16);
  }
#if defined(__CUDACC__)
  C10_HOST_DEVICE BFloat16(const __nv_bfloat16& value) {
    x = *reinterpret_cast<const unsigned short*>(&value);
  }
  C10_HOST_DEVICE explicit operator __nv_bfloat16() const {
    return *reinterpret_cast<const __nv_bfloat16*>(&x);
  }
#endif
};

#define RA_REDUCED_OP(T, op)                                                                       \
  C10_HOST_DEVICE inline T operator op(const T& a, const T& b) {                                   \
    return static_cast<float>(a) op static_cast<float>(b);                                         \
  }                                                                                                \
  C10_HOST_DEVICE inline T& operator op## = (T & a, const T& b) {                                  \
    a = a op b;                                                                                    \
    return a;                                                                                      \
  }                                                                                                \
  C10_HOST_DEVICE inline float operator op(T a, float b) { return static_cast<float>(a) op b; }    \
  C10_HOST_DEVICE inline float operator op(float a, T b) { return a op static_cast<float>(b); }    \
  C10_HOST_DEVICE inline float& operator op## = (float& a, const T& b) {                           \
    return a op## = static_cast<float>(b);                                                         \
  }                                                                                                \
  C10_HOST_DEVICE inline double operator op(T a, double b) { return static_cast<double>(a) op b; } \
  C10_HOST_DEVICE inline double operator op(double a, T b) { return a op static_cast<double>(b); } \
  C10_HOST_DEVICE inline T operator op(T a, int b) {                                               \
    return a op static_cast<T>(static_cast<float>(b));                                             \
  }                                                                                                \
  C10_HOST_DEVICE inline T operator op(int a, T b) {                                               \
    return static_cast<T>(static_cast<float>(a)) op b;                                             \
  }                                                                                                \
  C10_HOST_DEVICE inline T operator op(T a, int64_t b) {                                           \
    return a op static_cast<T>(static_cast<float>(b));                                             \
  }                                                                                                \
  C10_HOST_DEVICE inline T operator op(int64_t a, T b) {                                           \
    return static_cast<T>(static_cast<float>(a)) op b;                                             \
  }
#define RA_REDUCED(T) \
  RA_REDUCED_OP(T, +) \
  RA_REDUCED_OP(T, -) \
  RA_REDUCED_OP(T, *) \
  RA_REDUCED_OP(T, /) \
  C10_HOST_DEVICE inline T operator-(const T& a) { return -static_cast<float>(a); }
RA_REDUCED(Half)
RA_REDUCED(BFloat16)
#undef RA_REDUCED
#undef RA_REDUCED_OP
// torch compares BFloat16 with these; Half compares as float.
C10_HOST_DEVICE inline bool operator>(BFloat16& a, BFloat16& b) {
  return static_cast<float>(a) > static_cast<float>(b);
}
C10_HOST_DEVICE inline bool operator<(BFloat16& a, BFloat16& b) {
  return static_cast<float>(a) < static_cast<float>(b);
}

#if defined(__CUDACC__)
__device__ inline Half __ldg(const Half* p) {
  return Half(__ldg(reinterpret_cast<const __half*>(p)));
}
__device__ inline BFloat16 __ldg(const BFloat16* p) {
  return BFloat16(__ldg(reinterpret_cast<const __nv_bfloat16*>(p)));
}
#endif

inline Scalar::Scalar(Half value) : Scalar(static_cast<double>(static_cast<float>(value))) {}
inline Scalar::Scalar(BFloat16 value) : Scalar(static_cast<double>(static_cast<float>(value))) {}
inline Half Scalar::toHalf() const { return Half(toFloat()); }
inline BFloat16 Scalar::toBFloat16() const { return BFloat16(toFloat()); }
#ifdef RA_USES_STREAMS
inline std::ostream& operator<<(std::ostream& out, const Half& h) {
  return out << static_cast<float>(h);
}
inline std::ostream& operator<<(std::ostream& out, const BFloat16& h) {
  return out << static_cast<float>(h);
}
#endif

}  // namespace c10

template <>
class std::numeric_limits<c10::Half> {
 public:
  static constexpr bool is_specialized = true, is_signed = true, is_integer = false,
                        is_exact = false, has_infinity = true, has_quiet_NaN = true;
  static constexpr int digits = 11, digits10 = 3, max_digits10 = 5, radix = 2, min_exponent = -13,
                       max_exponent = 16;
  static constexpr c10::Half min() { return c10::Half(0x0400, c10::Half::from_bits()); }
  static constexpr c10::Half lowest() { return c10::Half(0xFBFF, c10::Half::from_bits()); }
  static constexpr c10::Half max() { return c10::Half(0x7BFF, c10::Half::from_bits()); }
  static constexpr c10::Half epsilon() { return c10::Half(0x1400, c10::Half::from_bits()); }
  static constexpr c10::Half infinity() { return c10::Half(0x7C00, c10::Half::from_bits()); }
  static constexpr c10::Half quiet_NaN() { return c10::Half(0x7E00, c10::Half::from_bits()); }
};
template <>
class std::numeric_limits<c10::BFloat16> {
 public:
  static constexpr bool is_specialized = true, is_signed = true, is_integer = false,
                        is_exact = false, has_infinity = true, has_quiet_NaN = true;
  static constexpr int digits = 8, digits10 = 2, max_digits10 = 4, radix = 2, min_exponent = -125,
                       max_exponent = 128;
  static constexpr c10::BFloat16 min() { return c10::BFloat16(0x0080, c10::BFloat16::from_bits()); }
  static constexpr c10::BFloat16 lowest() {
    return c10::BFloat16(0xFF7F, c10::BFloat16::from_bits());
  }
  static constexpr c10::BFloat16 max() { return c10::BFloat16(0x7F7F, c10::BFloat16::from_bits()); }
  static constexpr c10::BFloat16 epsilon() {
    return c10::BFloat16(0x3C00, c10::BFloat16::from_bits());
  }
  static constexpr c10::BFloat16 infinity() {
    return c10::BFloat16(0x7F80, c10::BFloat16::from_bits());
  }
  static constexpr c10::BFloat16 quiet_NaN() {
    return c10::BFloat16(0x7FC0, c10::BFloat16::from_bits());
  }
};
