// Owns what <torch/extension.h> shows beyond <torch/types.h>. Leaves nn, optim, data and autograd
// functions to torch's own build.
#pragma once
#include "torch.h"
#include "version.h"

#ifdef RA_USES_PARALLEL
#include "parallel.h"
#endif

#ifdef RA_USES_TORCH_CUDA
namespace torch::cuda {
inline bool is_available() { return ra_cuda_available() != 0; }
inline size_t device_count() { return static_cast<size_t>(ra_cuda_device_count()); }
inline void synchronize(int64_t device = -1) { c10::ra::check(ra_cuda_synchronize(device)); }
}  // namespace torch::cuda
#endif

#ifdef RA_USES_PYBIND
#include "pybind.h"
#endif
