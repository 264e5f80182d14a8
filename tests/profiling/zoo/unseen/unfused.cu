// One operation in three kernels, each good by itself: what the first two compute goes to DRAM and
// comes back. Seven arrays cross the interface where three would do.
// TIMELINE
#include "../zoo.cuh"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

constexpr size_t kVectors = kVariant ? 6u << 20 : 8u << 20;
constexpr int kThreads = 256;

__global__ void KERNEL(const float4* x, float4* scaled) {  // SICK: extra_traffic (no line)
  size_t i = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float4 v = x[i];
  scaled[i] = {0.5f * v.x + 0.1f, 0.5f * v.y + 0.1f, 0.5f * v.z + 0.1f, 0.5f * v.w + 0.1f};
}

__device__ float gate(float x) { return x * __frcp_rn(1.0f + __expf(-x)); }

__global__ void JOIN(KERNEL, _b)(const float4* scaled, float4* gated) {
  size_t i = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float4 v = scaled[i];
  gated[i] = {gate(v.x), gate(v.y), gate(v.z), gate(v.w)};
}

__global__ void JOIN(KERNEL, _c)(const float4* gated, const float4* residual, float4* out) {
  size_t i = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float4 v = gated[i], r = residual[i];
  out[i] = {v.x + r.x, v.y + r.y, v.z + r.z, v.w + r.w};
}

int main(int argc, char** argv) {
  auto array = [] { return reinterpret_cast<float4*>(filled(kVectors * 4)); };
  float4 *x = array(), *residual = array(), *scaled = array(), *gated = array(), *out = array();
  unsigned blocks = unsigned(kVectors / kThreads);
  return run(argc, argv, {32.0 * kVectors, 16.0 * kVectors, 28.0 * kVectors}, [=] {
    KERNEL<<<blocks, kThreads>>>(x, scaled);
    JOIN(KERNEL, _b)<<<blocks, kThreads>>>(scaled, gated);
    JOIN(KERNEL, _c)<<<blocks, kThreads>>>(gated, residual, out);
  });
}
