// Owns at::cuda::CUDAGraph: one of torch's own behind a pointer, and whether the current stream is
// being captured. Leaves graphs of the runtime's own to the toolkit.
#pragma once
#include "cuda.h"

namespace c10 {
using CaptureId_t = unsigned long long;
using MempoolId_t = std::pair<CaptureId_t, CaptureId_t>;
}  // namespace c10

namespace c10::cuda {

enum class CaptureStatus : int {
  None = cudaStreamCaptureStatusNone,
  Active = cudaStreamCaptureStatusActive,
  Invalidated = cudaStreamCaptureStatusInvalidated
};
struct CUDAStreamCaptureModeGuard {
  CUDAStreamCaptureModeGuard(cudaStreamCaptureMode mode) : mode_(mode) {
    C10_CUDA_CHECK(cudaThreadExchangeStreamCaptureMode(&mode_));
  }
  CUDAStreamCaptureModeGuard(const CUDAStreamCaptureModeGuard&) = delete;
  CUDAStreamCaptureModeGuard& operator=(const CUDAStreamCaptureModeGuard&) = delete;
  ~CUDAStreamCaptureModeGuard() {
    C10_CUDA_CHECK_WARN(cudaThreadExchangeStreamCaptureMode(&mode_));
  }

 private:
  cudaStreamCaptureMode mode_;
};
inline CaptureStatus currentStreamCaptureStatusMayInitCtx() {
  cudaStreamCaptureStatus status{cudaStreamCaptureStatusNone};
  C10_CUDA_CHECK(cudaStreamIsCapturing(getCurrentCUDAStream(), &status));
  return CaptureStatus(status);
}

}  // namespace c10::cuda

#ifdef RA_USES_CUDA_GRAPH
namespace at::cuda {

inline MempoolId_t graph_pool_handle() {
  unsigned long long pool[2];
  c10::ra::check(ra_cuda_graph_pool(nullptr, pool));
  return {pool[0], pool[1]};
}
struct CUDAGraph {
  CUDAGraph() { c10::ra::check(ra_cuda_graph_new(&graph_)); }
  CUDAGraph(const CUDAGraph&) = delete;
  CUDAGraph& operator=(const CUDAGraph&) = delete;
  ~CUDAGraph() { ra_cuda_graph_delete(graph_); }
  void capture_begin(MempoolId_t pool = {0, 0},
                     cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    c10::ra::check(ra_cuda_graph_begin(graph_, pool.first, pool.second, mode));
  }
  void capture_end() { c10::ra::check(ra_cuda_graph(graph_, "capture_end")); }
  void replay() { c10::ra::check(ra_cuda_graph(graph_, "replay")); }
  void reset() { c10::ra::check(ra_cuda_graph(graph_, "reset")); }
  void enable_debug_mode() { c10::ra::check(ra_cuda_graph(graph_, "enable_debug_mode")); }
  MempoolId_t pool() {
    unsigned long long pool[2];
    c10::ra::check(ra_cuda_graph_pool(graph_, pool));
    return {pool[0], pool[1]};
  }

 private:
  void* graph_ = nullptr;
};

}  // namespace at::cuda
#endif
