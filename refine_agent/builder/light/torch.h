// Owns what <torch/types.h> shows: ATen and namespace torch. Leaves what only <torch/extension.h>
// adds to extension.h, and every definition to the header that it includes for it.
#pragma once
#include "tensor.h"

#if defined(RA_USES_HALF) || defined(RA_USES_COMPLEX)
#include "half.h"
#endif
#ifdef RA_USES_FLOAT8
#include "float8.h"
#endif
#ifdef RA_USES_COMPLEX
#include <c10/util/complex.h>
#endif
#ifdef RA_USES_INDEXING
#include "indexing.h"
#endif
#ifdef RA_USES_LITERALS
#include "literal.h"
#endif
#ifdef RA_USES_MODES
#include "modes.h"
#endif
#ifdef RA_USES_CONTEXT
#include "context.h"
#endif
#ifdef RA_USES_TENSOR_ARGS
#include "tensor_args.h"
#endif
#ifdef RA_USES_EXPAND
#include "expand.h"
#endif

#include <candidate/functions.h>

namespace c10 {
using at::Tensor;
}  // namespace c10
namespace c10::cuda {}
namespace at::cuda {
using namespace c10::cuda;
}  // namespace at::cuda

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
}  // namespace headeronly
}  // namespace torch

#ifdef RA_USES_DISPATCH
#include "dispatch.h"
#endif
