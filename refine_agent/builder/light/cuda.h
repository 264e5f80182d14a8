// Owns c10::cuda: error checks, streams, guards. Leaves at::cuda to cuda_context.h, and kernels and
// the runtime to the CUDA toolkit.
#pragma once
#include <cuda.h>
#include <cuda_runtime_api.h>

#include "tensor.h"

namespace c10::cuda {

inline void c10_cuda_check_implementation(int32_t error, const char* file, const char* function,
                                          uint32_t line, bool) {
  if (C10_UNLIKELY(error != 0)) ::c10::ra::check(ra_cuda_check(error, file, function, line));
}

inline DeviceIndex device_count() noexcept {
  return static_cast<DeviceIndex>(ra_cuda_device_count());
}
inline DeviceIndex current_device() {
  int32_t out;
  ra::check(ra_cuda_current_device(&out));
  return static_cast<DeviceIndex>(out);
}
inline void set_device(DeviceIndex device) { ra::check(ra_cuda_set_device(device)); }
inline void stream_synchronize(cudaStream_t stream) {
  c10_cuda_check_implementation(cudaStreamSynchronize(stream), __FILE__, __func__, __LINE__, true);
}
inline void device_synchronize() { ra::check(ra_cuda_synchronize(-1)); }

class CUDAStream {
 public:
  CUDAStream(DeviceIndex device, int64_t id) : device_(device), id_(id) {}
  operator cudaStream_t() const { return stream(); }
  cudaStream_t stream() const {
    void* out;
    ra::check(ra_cuda_stream_of(device_, id_, &out));
    return static_cast<cudaStream_t>(out);
  }
  int64_t id() const { return id_; }
  DeviceIndex device_index() const { return device_; }
  DeviceType device_type() const { return DeviceType::CUDA; }
  Device device() const { return Device(DeviceType::CUDA, device_); }
  CUDAStream unwrap() const { return *this; }
  bool query() const { return cudaStreamQuery(stream()) == cudaSuccess; }
  void synchronize() const {
    c10_cuda_check_implementation(cudaStreamSynchronize(stream()), __FILE__, __func__, __LINE__,
                                  true);
  }
  int priority() const {
    int out = 0;
    cudaStreamGetPriority(stream(), &out);
    return out;
  }
  bool operator==(const CUDAStream& o) const noexcept {
    return device_ == o.device_ && id_ == o.id_;
  }
  bool operator!=(const CUDAStream& o) const noexcept { return !(*this == o); }

 private:
  DeviceIndex device_;
  int64_t id_;
};

namespace detail {
inline CUDAStream stream(DeviceIndex device, int which) {
  if (device < 0) device = current_device();
  int64_t id;
  void* ignored;
  ra::check(ra_cuda_stream(device, which, &id, &ignored));
  return CUDAStream(device, id);
}
}  // namespace detail
inline CUDAStream getCurrentCUDAStream(DeviceIndex device = -1) {
  return detail::stream(device, 0);
}
inline CUDAStream getDefaultCUDAStream(DeviceIndex device = -1) {
  return detail::stream(device, 1);
}
inline CUDAStream getStreamFromPool(const bool high_priority = false, DeviceIndex device = -1) {
  return detail::stream(device, high_priority ? 3 : 2);
}
inline CUDAStream getStreamFromPool(const int priority, DeviceIndex device = -1) {
  return detail::stream(device, priority < 0 ? 3 : 2);
}
inline CUDAStream getStreamFromExternal(cudaStream_t external, DeviceIndex device) {
  int64_t id;
  ra::check(ra_cuda_external_stream(external, device, &id));
  return CUDAStream(device, id);
}
inline void setCurrentCUDAStream(CUDAStream s) {
  ra::check(ra_cuda_set_stream(s.device_index(), s.id()));
}

// Guards leave the device as they found it.
class CUDAGuard {
 public:
  explicit CUDAGuard(DeviceIndex device)
      : original_(exchange(device)), current_(device < 0 ? original_ : device) {}
  explicit CUDAGuard(Device device) : CUDAGuard(checked(device)) {}
  CUDAGuard(const CUDAGuard&) = delete;
  CUDAGuard& operator=(const CUDAGuard&) = delete;
  ~CUDAGuard() { ra_cuda_set_device(original_); }
  void set_device(Device device) { set_index(checked(device)); }
  void reset_device(Device device) { set_index(checked(device)); }
  void set_index(DeviceIndex device) {
    exchange(device);
    current_ = device;
  }
  Device original_device() const { return Device(DeviceType::CUDA, original_); }
  Device current_device() const { return Device(DeviceType::CUDA, current_); }

 private:
  static DeviceIndex checked(Device device) {
    TORCH_INTERNAL_ASSERT(device.is_cuda(), "Expected a CUDA device, but got ", device);
    return device.index();
  }
  static DeviceIndex exchange(DeviceIndex device) {
    if (device < 0) return cuda::current_device();
    int32_t before;
    ra::check(ra_cuda_exchange_device(device, &before));
    return static_cast<DeviceIndex>(before);
  }
  DeviceIndex original_, current_;
};
class OptionalCUDAGuard {
 public:
  OptionalCUDAGuard() = default;
  explicit OptionalCUDAGuard(std::optional<Device> device) {
    if (device) guard_.emplace(*device);
  }
  explicit OptionalCUDAGuard(std::optional<DeviceIndex> device) {
    if (device) guard_.emplace(*device);
  }
  void set_device(Device device) { guard_.emplace(device); }
  void reset_device(Device device) { guard_.emplace(device); }
  void set_index(DeviceIndex device) { guard_.emplace(device); }
  std::optional<Device> original_device() const {
    return guard_ ? std::make_optional(guard_->original_device()) : std::nullopt;
  }
  std::optional<Device> current_device() const {
    return guard_ ? std::make_optional(guard_->current_device()) : std::nullopt;
  }
  void reset() { guard_.reset(); }

 private:
  std::optional<CUDAGuard> guard_;
};
class CUDAStreamGuard {
 public:
  explicit CUDAStreamGuard(CUDAStream s)
      : device_(s.device_index()), before_(getCurrentCUDAStream(s.device_index())), now_(s) {
    setCurrentCUDAStream(s);
  }
  CUDAStreamGuard(const CUDAStreamGuard&) = delete;
  ~CUDAStreamGuard() { ra_cuda_set_stream(before_.device_index(), before_.id()); }
  void reset_stream(CUDAStream s) {
    setCurrentCUDAStream(s);
    now_ = s;
  }
  CUDAStream original_stream() const { return before_; }
  CUDAStream current_stream() const { return now_; }

 private:
  CUDAGuard device_;
  CUDAStream before_, now_;
};
class OptionalCUDAStreamGuard {
 public:
  OptionalCUDAStreamGuard() = default;
  explicit OptionalCUDAStreamGuard(CUDAStream s) { guard_.emplace(s); }
  explicit OptionalCUDAStreamGuard(std::optional<CUDAStream> s) {
    if (s) guard_.emplace(*s);
  }
  void reset_stream(CUDAStream s) { guard_.emplace(s); }
  void reset() { guard_.reset(); }

 private:
  std::optional<CUDAStreamGuard> guard_;
};

namespace CUDACachingAllocator {
inline void* raw_alloc(size_t bytes) {
  void* out;
  ra::check(ra_cuda_allocate(bytes, &out));
  return out;
}
inline void* raw_alloc_with_stream(size_t bytes, cudaStream_t stream) {
  void* out;
  ra::check(ra_cuda_allocate_on(bytes, stream, &out));
  return out;
}
inline void raw_delete(void* memory) { ra::check(ra_cuda_deallocate(memory)); }
inline void emptyCache() { ra::check(ra_cuda_empty_cache()); }
inline void recordStream(const DataPtr& memory, CUDAStream s) {
  ra::check(ra_cuda_record_memory(memory.get(), s.device_index(), s.id()));
}
struct CUDAAllocator : Allocator {
  DataPtr allocate(size_t bytes) const override {
    return {raw_alloc(bytes), [](void* memory) { ra_cuda_deallocate(memory); },
            Device(DeviceType::CUDA, cuda::current_device())};
  }
  void* raw_alloc(size_t bytes) const { return CUDACachingAllocator::raw_alloc(bytes); }
  void* raw_allocate(size_t bytes) const { return raw_alloc(bytes); }
  void* raw_alloc_with_stream(size_t bytes, cudaStream_t stream) const {
    return CUDACachingAllocator::raw_alloc_with_stream(bytes, stream);
  }
  void raw_delete(void* memory) const { CUDACachingAllocator::raw_delete(memory); }
  void raw_deallocate(void* memory) const { raw_delete(memory); }
  void emptyCache() const { CUDACachingAllocator::emptyCache(); }
  void recordStream(const DataPtr& memory, CUDAStream s) const {
    CUDACachingAllocator::recordStream(memory, s);
  }
};
inline CUDAAllocator* get() {
  static CUDAAllocator only;
  return &only;
}
}  // namespace CUDACachingAllocator

}  // namespace c10::cuda

#define C10_CUDA_CHECK(EXPR)                                                                  \
  do {                                                                                        \
    const cudaError_t __err = EXPR;                                                           \
    c10::cuda::c10_cuda_check_implementation(static_cast<int32_t>(__err), __FILE__, __func__, \
                                             static_cast<uint32_t>(__LINE__), true);          \
  } while (0)
#define C10_CUDA_CHECK_WARN(EXPR)                              \
  do {                                                         \
    const cudaError_t __err = EXPR;                            \
    if (C10_UNLIKELY(__err != cudaSuccess)) {                  \
      [[maybe_unused]] auto error_unused = cudaGetLastError(); \
      TORCH_WARN("CUDA warning: ", cudaGetErrorString(__err)); \
    }                                                          \
  } while (0)
#define C10_CUDA_ERROR_HANDLED(EXPR) EXPR
#define C10_CUDA_IGNORE_ERROR(EXPR)                      \
  do {                                                   \
    if ((EXPR) != cudaSuccess) (void)cudaGetLastError(); \
  } while (0)
#define C10_CUDA_CLEAR_ERROR() \
  do {                         \
    (void)cudaGetLastError();  \
  } while (0)
#define C10_CUDA_KERNEL_LAUNCH_CHECK() C10_CUDA_CHECK(cudaGetLastError())
