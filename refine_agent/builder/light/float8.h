// Owns what surrounds torch's own 8-bit floats, whose text is <light/float8_types.h>: what they
// use, and numbers made of them. Leaves CUDA's __nv_fp8 types to the toolkit's <cuda_fp8.h>.
#pragma once
#include "half.h"

namespace torch::headeronly::detail {
using c10::detail::fp32_from_bits;
using c10::detail::fp32_to_bits;
}  // namespace torch::headeronly::detail

#include "float8_types.h"

namespace c10 {
#define RA_FLOAT8(T) \
  inline Scalar::Scalar(T value) : Scalar(static_cast<double>(static_cast<float>(value))) {}
RA_FLOAT8(Float8_e4m3fn)
RA_FLOAT8(Float8_e5m2)
RA_FLOAT8(Float8_e4m3fnuz)
RA_FLOAT8(Float8_e5m2fnuz)
#ifdef RA_HAS_Float8_e8m0fnu
RA_FLOAT8(Float8_e8m0fnu)
#endif
#undef RA_FLOAT8
}  // namespace c10
