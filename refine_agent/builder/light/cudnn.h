// Owns the current cuDNN handle. Leaves descriptors to cuDNN's own functions, and cuDNN itself to
// the headers beside the toolkit.
#pragma once
#include <cudnn.h>

#include "cuda.h"

namespace at::native {
inline cudnnHandle_t getCudnnHandle() {
  void* out;
  c10::ra::check(ra_cuda_handle(2, &out));
  return static_cast<cudnnHandle_t>(out);
}
}  // namespace at::native
