// Owns at::Generator: one counted pointer to torch's own generator, and what candidates ask of it,
// down to the Philox state that kernels draw from. Leaves every random number to torch.
#pragma once
#include <memory>
#include <mutex>

#include "scalar.h"

#if defined(RA_USES_CUDA) && __has_include(<ATen/cuda/PhiloxCudaState.h>)
#include <ATen/cuda/PhiloxCudaState.h>
#define RA_WITH_PHILOX 1
#endif

namespace at {

// What Generator::get<T>() points to; it outlives every handle, as torch's default generators do.
class GeneratorImpl {
 public:
  explicit GeneratorImpl(void* impl)
      : mutex_(*static_cast<std::mutex*>(ra_generator_mutex(impl))), impl_(impl) {}
  std::mutex& mutex_;
  uint64_t current_seed() const { return ask("current_seed", 0); }
  uint64_t seed() { return ask("seed", 0); }
  void set_current_seed(uint64_t seed) { ask("set_current_seed", seed); }
  uint64_t get_offset() const { return ask("get_offset", 0); }
  void set_offset(uint64_t offset) { ask("set_offset", offset); }

 protected:
  uint64_t ask(const char* what, uint64_t value) const {
    c10::ra::check(ra_generator_ask(impl_, what, &value));
    return value;
  }
  void* impl_;
};
struct CPUGeneratorImpl : GeneratorImpl {
  using GeneratorImpl::GeneratorImpl;
  static c10::DeviceType device_type() { return c10::DeviceType::CPU; }
  uint32_t random() { return static_cast<uint32_t>(ask("random", 0)); }
  uint64_t random64() { return ask("random64", 0); }
};
#ifdef RA_USES_CUDA
struct CUDAGeneratorImpl : GeneratorImpl {
  using GeneratorImpl::GeneratorImpl;
  static c10::DeviceType device_type() { return c10::DeviceType::CUDA; }
  uint64_t philox_offset_per_thread() const { return get_offset(); }
  void set_philox_offset_per_thread(uint64_t offset) { set_offset(offset); }
  std::pair<uint64_t, uint64_t> philox_engine_inputs(uint64_t increment) {
    const auto offset = ask("philox_engine_inputs", increment);
    return {current_seed(), offset};
  }
#ifdef RA_WITH_PHILOX
  PhiloxCudaState philox_cuda_state(uint64_t increment) {
    static_assert(std::is_trivially_copyable_v<PhiloxCudaState>);
    PhiloxCudaState state;
    c10::ra::check(ra_philox_state(impl_, increment, &state, sizeof state));
    return state;
  }
#endif
};
#endif

class Generator {
 public:
  Generator() = default;
  Generator(const Generator& o) : impl_(o.impl_) { ra_generator_count(impl_, 1); }
  Generator(Generator&& o) noexcept : impl_(std::exchange(o.impl_, nullptr)) {}
  ~Generator() { ra_generator_count(impl_, -1); }
  Generator& operator=(Generator o) noexcept {
    std::swap(impl_, o.impl_);
    return *this;
  }
  static Generator made(const char* how, int device, uint64_t seed) {
    Generator out;
    c10::ra::check(ra_generator(how, device, seed, &out.impl_));
    return out;
  }
  static Generator adopt(void* impl) {
    Generator out;
    out.impl_ = impl;
    return out;
  }
  bool operator==(const Generator& o) const { return impl_ == o.impl_; }
  bool operator!=(const Generator& o) const { return impl_ != o.impl_; }
  bool defined() const { return impl_ != nullptr; }
  void* unsafeGetGeneratorImpl() const { return impl_; }
  c10::Device device() const {
    int32_t type, index;
    c10::ra::check(ra_generator_device(impl_, &type, &index));
    return {static_cast<c10::DeviceType>(type), static_cast<c10::DeviceIndex>(index)};
  }
  std::mutex& mutex() { return *static_cast<std::mutex*>(ra_generator_mutex(impl_)); }
  void set_current_seed(uint64_t seed) { GeneratorImpl(impl_).set_current_seed(seed); }
  uint64_t current_seed() const { return GeneratorImpl(impl_).current_seed(); }
  uint64_t seed() { return GeneratorImpl(impl_).seed(); }
  void set_offset(uint64_t offset) { GeneratorImpl(impl_).set_offset(offset); }
  uint64_t get_offset() const { return GeneratorImpl(impl_).get_offset(); }
  template <class T>
  T* get() const {
    static std::mutex asking;
    static std::vector<std::pair<void*, std::unique_ptr<T>>> known;
    const std::lock_guard<std::mutex> lock(asking);
    for (const auto& [impl, held] : known)
      if (impl == impl_) return held.get();
    return known.emplace_back(impl_, std::make_unique<T>(impl_)).second.get();
  }

 private:
  void* impl_ = nullptr;
};

constexpr uint64_t default_rng_seed_val = 67280421310721;
namespace detail {
inline const Generator& getDefaultCPUGenerator() {
  static const Generator kept = Generator::made("default cpu", -1, 0);
  return kept;
}
inline Generator createCPUGenerator(uint64_t seed = default_rng_seed_val) {
  return Generator::made("new cpu", -1, seed);
}
}  // namespace detail
#ifdef RA_USES_CUDA
namespace cuda::detail {
// One per device, kept: callers hold the reference.
inline const Generator& getDefaultCUDAGenerator(c10::DeviceIndex device = -1) {
  int32_t current = device;
  if (device < 0) c10::ra::check(ra_cuda_current_device(&current));
  static Generator kept[64];
  auto& generator = kept[current & 63];
  if (!generator.defined()) generator = Generator::made("default cuda", current, 0);
  return generator;
}
inline Generator createCUDAGenerator(c10::DeviceIndex device = -1) {
  return Generator::made("new cuda", device, default_rng_seed_val);
}
}  // namespace cuda::detail
#endif

template <class Impl>
Generator make_generator(uint64_t seed_or_device = default_rng_seed_val) {
  const bool on_cpu = Impl::device_type() == c10::DeviceType::CPU;
  const int device =
      on_cpu || seed_or_device == default_rng_seed_val ? -1 : static_cast<int>(seed_or_device);
  return Generator::made(on_cpu ? "new cpu" : "new cuda", device, seed_or_device);
}
template <class T>
T* check_generator(std::optional<Generator> gen) {
  TORCH_CHECK(gen.has_value(), "Expected Generator but received nullopt");
  TORCH_CHECK(gen->defined(), "Generator with undefined implementation is not allowed");
  TORCH_CHECK(T::device_type() == gen->device().type(), "Expected a '", T::device_type(),
              "' device type for generator but found '", gen->device().type(), "'");
  return gen->get<T>();
}
template <class T>
T* get_generator_or_default(const std::optional<Generator>& gen, const Generator& otherwise) {
  return check_generator<T>(gen.has_value() && gen->defined() ? gen : otherwise);
}

}  // namespace at
