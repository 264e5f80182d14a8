// Owns what <torch/extension.h> shows beyond <torch/types.h>. Leaves nn, optim, data and autograd
// functions to torch's own build.
#pragma once
// Python.h brings these, and they bring std's overloads to the global scope: abs(-2.5f) is 2.5f.
#include <math.h>
#include <stdlib.h>

#include "torch.h"
#include "version.h"

#ifdef RA_USES_PARALLEL
#include "parallel.h"
#endif

#ifdef RA_USES_TORCH_CUDA
namespace torch::cuda {
namespace ra {
inline int64_t told(const char* what, int64_t value = 0) {
  c10::ra::check(ra_torch_cuda(what, &value));
  return value;
}
}  // namespace ra
inline bool is_available() { return ra::told("is_available") != 0; }
inline bool cudnn_is_available() { return ra::told("cudnn_is_available") != 0; }
inline size_t device_count() { return static_cast<size_t>(ra::told("device_count")); }
inline void synchronize(int64_t device = -1) { ra::told("synchronize", device); }
inline void manual_seed(uint64_t seed) { ra::told("manual_seed", static_cast<int64_t>(seed)); }
inline void manual_seed_all(uint64_t seed) {
  ra::told("manual_seed_all", static_cast<int64_t>(seed));
}
}  // namespace torch::cuda
#endif

#ifdef RA_USES_PYBIND
#include "modules.h"
#endif
