// Owns what <ATen/cuda/CUDAGraphsUtils.cuh> adds: at::cuda's questions about capture, and Philox
// states as kernels unpack them. Leaves the stream's status to cuda_graph.h.
#pragma once
#include "cuda_graph.h"
#if __has_include(<ATen/cuda/PhiloxUtils.cuh>)
#include <ATen/cuda/PhiloxUtils.cuh>
#endif

namespace at::cuda {

inline CaptureStatus currentStreamCaptureStatus() { return currentStreamCaptureStatusMayInitCtx(); }
inline void assertNotCapturing(const std::string& attempt) {
  const auto status = currentStreamCaptureStatus();
  const char* names[] = {"None", "Active", "Invalidated"};
  TORCH_CHECK(status == CaptureStatus::None, attempt,
              " during CUDA graph capture. If you need this call to be captured, please file an "
              "issue. Current cudaStreamCaptureStatus: cudaStreamCaptureStatus",
              names[static_cast<int>(status)]);
}

}  // namespace at::cuda
