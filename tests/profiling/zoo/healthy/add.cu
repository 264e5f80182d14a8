// HEALTHY: an element-wise sum of two arrays, 16 bytes per access.
#include "../zoo.cuh"

constexpr size_t kVectors = kVariant ? 20u << 20 : 24u << 20;
constexpr int kEach = 2, kThreads = 256;

__global__ void KERNEL(const float4* a, const float4* b, float4* out) {
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  float4 x[kEach], y[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) x[i] = a[first + i * kThreads], y[i] = b[first + i * kThreads];
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    out[first + i * kThreads] = {x[i].x + y[i].x, x[i].y + y[i].y, x[i].z + y[i].z, x[i].w + y[i].w};
}

int main(int argc, char** argv) {
  auto* a = reinterpret_cast<float4*>(filled(kVectors * 4));
  auto* b = reinterpret_cast<float4*>(filled(kVectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(kVectors * 4));
  return run(argc, argv, {32.0 * kVectors, 16.0 * kVectors, 4.0 * kVectors},
             [=] { KERNEL<<<unsigned(kVectors / kEach / kThreads), kThreads>>>(a, b, out); });
}
