// Owns at::native::canUse32BitIndexMath. Leaves the kernels' own index arithmetic to the copies of
// torch's header-only code.
#pragma once
#include <limits>

#include "tensor.h"

namespace at::native {

inline bool canUse32BitIndexMath(const TensorBase& t,
                                 int64_t max_elem = std::numeric_limits<int32_t>::max()) {
  const auto elements = t.numel();
  if (elements >= max_elem) return false;
  if (elements == 0) return max_elem > 0;
  int64_t last = 0;
  for (int64_t d = 0; d < t.dim(); ++d) last += (t.size(d) - 1) * t.stride(d);
  return last < max_elem;
}

}  // namespace at::native
