// Owns grad-mode guards, device guards for any device, seeds and a few questions to torch's
// context. Leaves CUDA's own guards and streams to cuda.h.
#pragma once
#include "tensor.h"

namespace c10 {

struct GradMode {
  static bool is_enabled() { return ra_grad_mode(-1) != 0; }
  static void set_enabled(bool enabled) { ra_grad_mode(enabled); }
};
struct AutoGradMode {
  explicit AutoGradMode(bool enabled) : before_(ra_grad_mode(enabled)) {}
  AutoGradMode(const AutoGradMode&) = delete;
  ~AutoGradMode() { ra_grad_mode(before_); }
  int64_t before_;
};
struct NoGradGuard : AutoGradMode {
  NoGradGuard() : AutoGradMode(false) {}
};

template <int kind>
struct ShimGuard {
  ShimGuard() : guard_(ra_guard(kind)) {}
  ShimGuard(const ShimGuard&) = delete;
  ~ShimGuard() { ra_unguard(kind, guard_); }
  void* guard_;
};
struct InferenceMode {
  explicit InferenceMode(bool enabled = true) : kind_(enabled ? 2 : 3), guard_(ra_guard(kind_)) {}
  InferenceMode(const InferenceMode&) = delete;
  ~InferenceMode() { ra_unguard(kind_, guard_); }
  static bool is_enabled() { return ra_inference_mode() != 0; }
  int kind_;
  void* guard_;
};

// On the CPU a device guard guards nothing.
class OptionalDeviceGuard {
 public:
  OptionalDeviceGuard() = default;
  explicit OptionalDeviceGuard(std::optional<Device> device) {
    if (device) set_device(*device);
  }
  explicit OptionalDeviceGuard(Device device) { set_device(device); }
  OptionalDeviceGuard(const OptionalDeviceGuard&) = delete;
  ~OptionalDeviceGuard() { reset(); }
  void reset_device(Device device) { set_device(device); }
  void reset() {
    if (before_ >= 0) restore();
    before_ = -1;
  }

 protected:
#ifdef RA_USES_CUDA
  void set_device(Device device) {
    if (!device.is_cuda() || !device.has_index()) return;
    int32_t before;
    ra::check(ra_cuda_exchange_device(device.index(), &before));
    if (before_ < 0) before_ = before;
  }
  void restore() { ra_cuda_set_device(before_); }
#else
  void set_device(Device) {}
  void restore() {}
#endif
  int32_t before_ = -1;
};
class DeviceGuard : public OptionalDeviceGuard {
 public:
  explicit DeviceGuard(Device device) : OptionalDeviceGuard(device) {}
};

}  // namespace c10

namespace at {
struct AutoDispatchBelowADInplaceOrView : c10::ShimGuard<0> {};
struct AutoDispatchBelowAutograd : c10::ShimGuard<1> {};
using AutoNonVariableTypeMode = AutoDispatchBelowAutograd;
using c10::AutoGradMode;
using c10::DeviceGuard;
using c10::GradMode;
using c10::NoGradGuard;
using c10::OptionalDeviceGuard;
inline void manual_seed(uint64_t seed) { c10::ra::check(ra_manual_seed(seed)); }
}  // namespace at
