// Owns namespace torch and the order in which the light headers come together. Leaves every
// definition to the header that it includes for it.
#pragma once
#include "tensor.h"

#ifdef RA_HALF
#include "half.h"
#endif
#ifdef RA_INDEXING
#include "indexing.h"
#endif
#ifdef RA_LITERALS
#include "literal.h"
#endif
#ifdef RA_PARALLEL
#include "parallel.h"
#endif
#ifdef RA_MATH
#include "numeric.h"
#endif
#ifdef RA_GRAD_MODE
#include "modes.h"
#endif

#include <candidate/functions.h>

#ifdef RA_DISPATCH
#include "dispatch.h"
#endif
#if defined(RA_CUDA) && (defined(RA_GUARDS) || defined(__CUDACC__))
#include "cuda.h"
#endif

namespace c10 {
using at::Tensor;
} // namespace c10

namespace torch {
using namespace at;
using std::nullopt;
using std::optional;
using Dtype = at::ScalarType;
constexpr auto kUInt8 = at::kByte, kInt8 = at::kChar, kInt16 = at::kShort, kInt32 = at::kInt,
               kInt64 = at::kLong, kUInt16 = at::kUInt16, kUInt32 = at::kUInt32,
               kUInt64 = at::kUInt64, kFloat16 = at::kHalf, kFloat32 = at::kFloat,
               kFloat64 = at::kDouble;
constexpr auto kU8 = kUInt8, kI8 = kInt8, kI16 = kInt16, kI32 = kInt32, kI64 = kInt64,
               kF16 = kFloat16, kF32 = kFloat32, kF64 = kFloat64;
#include <candidate/factories.h>
namespace headeronly {
using namespace c10;
} // namespace headeronly
} // namespace torch
