// Owns storage of the 8-bit floats, so that kernels can reinterpret it. Leaves arithmetic on them
// to the toolkit's <cuda_fp8.h>, which is where candidates do it.
#pragma once
#include "scalar.h"

namespace c10 {
struct alignas(1) Float8_e4m3fn {
  uint8_t x;
  struct from_bits_t {};
  static constexpr C10_HOST_DEVICE from_bits_t from_bits() { return from_bits_t(); }
  Float8_e4m3fn() = default;
  constexpr C10_HOST_DEVICE Float8_e4m3fn(uint8_t bits, from_bits_t) : x(bits) {}
};
struct alignas(1) Float8_e5m2 {
  uint8_t x;
  struct from_bits_t {};
  static constexpr C10_HOST_DEVICE from_bits_t from_bits() { return from_bits_t(); }
  Float8_e5m2() = default;
  constexpr C10_HOST_DEVICE Float8_e5m2(uint8_t bits, from_bits_t) : x(bits) {}
};
}  // namespace c10
namespace at {
using c10::Float8_e4m3fn;
using c10::Float8_e5m2;
}  // namespace at
