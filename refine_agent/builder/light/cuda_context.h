// Owns at::cuda: device properties, events and the handles of the CUDA libraries. Leaves streams
// and guards to cuda.h.
#pragma once
#include "cuda.h"

// ATen/cuda/CUDAContext.h brings these along; they cost time only where they are named.
#ifdef RA_USES_CUBLAS
#include <cublas_v2.h>
#endif
#ifdef RA_USES_CUBLASLT
#include <cublasLt.h>
#endif
#ifdef RA_USES_CUSPARSE
#include <cusparse.h>
#endif
#ifdef RA_USES_CUSOLVER
#include <cusolverDn.h>
#endif

#define AT_CUDA_CHECK(EXPR) C10_CUDA_CHECK(EXPR)
#define AT_CUDA_DRIVER_CHECK(EXPR) \
  TORCH_CHECK((EXPR) == CUDA_SUCCESS, "CUDA driver error when calling `" #EXPR "`")

namespace at::cuda {

inline bool is_available() { return ra_cuda_available() != 0; }
inline int64_t getNumGPUs() { return ra_cuda_device_count(); }
inline cudaDeviceProp* getDeviceProperties(DeviceIndex device) {
  void* out;
  c10::ra::check(ra_cuda_properties(device, &out));
  return static_cast<cudaDeviceProp*>(out);
}
inline cudaDeviceProp* getCurrentDeviceProperties() { return getDeviceProperties(-1); }
inline int warp_size() { return getCurrentDeviceProperties()->warpSize; }
inline c10::Allocator* getCUDADeviceAllocator() { return c10::cuda::CUDACachingAllocator::get(); }
inline bool canDeviceAccessPeer(DeviceIndex device, DeviceIndex peer) {
  int can = 0;
  C10_CUDA_CHECK(cudaDeviceCanAccessPeer(&can, device, peer));
  return can != 0;
}

class CUDAEvent {
 public:
  CUDAEvent() = default;
  explicit CUDAEvent(unsigned flags) : flags_(flags) {}
  CUDAEvent(const CUDAEvent&) = delete;
  CUDAEvent(CUDAEvent&& o) noexcept : flags_(o.flags_), event_(o.event_) { o.event_ = nullptr; }
  ~CUDAEvent() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  operator cudaEvent_t() const { return event_; }
  cudaEvent_t event() const { return event_; }
  bool isCreated() const { return event_ != nullptr; }
  bool query() const { return event_ == nullptr || cudaEventQuery(event_) == cudaSuccess; }
  void record() { record(getCurrentCUDAStream()); }
  void recordOnce(const CUDAStream& s) {
    if (event_ == nullptr) record(s);
  }
  void record(const CUDAStream& s) {
    if (event_ == nullptr) C10_CUDA_CHECK(cudaEventCreateWithFlags(&event_, flags_));
    C10_CUDA_CHECK(cudaEventRecord(event_, s));
  }
  void block(const CUDAStream& s) {
    if (event_ != nullptr) C10_CUDA_CHECK(cudaStreamWaitEvent(s, event_, 0));
  }
  void synchronize() const {
    if (event_ != nullptr) C10_CUDA_CHECK(cudaEventSynchronize(event_));
  }
  float elapsed_time(const CUDAEvent& other) const {
    float ms = 0;
    C10_CUDA_CHECK(cudaEventElapsedTime(&ms, event_, other.event_));
    return ms;
  }

 private:
  unsigned flags_ = cudaEventDisableTiming;
  cudaEvent_t event_ = nullptr;
};

}  // namespace at::cuda

#ifdef RA_USES_CUDNN
#include <cudnn.h>
#define AT_CUDNN_CHECK(EXPR, ...)                                                     \
  do {                                                                                \
    const cudnnStatus_t ra_status = EXPR;                                             \
    TORCH_CHECK_WITH(CuDNNError, ra_status == CUDNN_STATUS_SUCCESS,                   \
                     "cuDNN error: ", cudnnGetErrorString(ra_status), ##__VA_ARGS__); \
  } while (0)
namespace c10 {
using CuDNNError = CUDAError;
}  // namespace c10
#endif

#ifdef RA_USES_CUBLAS
namespace at::cuda {
inline cublasHandle_t getCurrentCUDABlasHandle() {
  void* out;
  c10::ra::check(ra_cuda_handle(0, &out));
  return static_cast<cublasHandle_t>(out);
}
namespace blas {
inline const char* _cublasGetErrorEnum(cublasStatus_t error) { return cublasGetStatusName(error); }
}  // namespace blas
}  // namespace at::cuda
#define TORCH_CUDABLAS_CHECK(EXPR)                                          \
  do {                                                                      \
    cublasStatus_t __err = EXPR;                                            \
    TORCH_CHECK(__err == CUBLAS_STATUS_SUCCESS,                             \
                "CUDA error: ", at::cuda::blas::_cublasGetErrorEnum(__err), \
                " when calling `" #EXPR "`");                               \
  } while (0)
#endif
#ifdef RA_USES_CUBLASLT
namespace at::cuda {
inline cublasLtHandle_t getCurrentCUDABlasLtHandle() {
  void* out;
  c10::ra::check(ra_cuda_handle(4, &out));
  return static_cast<cublasLtHandle_t>(out);
}
}  // namespace at::cuda
#endif
#ifdef RA_USES_CUSPARSE
namespace at::cuda {
inline cusparseHandle_t getCurrentCUDASparseHandle() {
  void* out;
  c10::ra::check(ra_cuda_handle(1, &out));
  return static_cast<cusparseHandle_t>(out);
}
}  // namespace at::cuda
#endif
