// HEALTHY: a copy with 16-byte accesses, four in flight per thread.
#include "../zoo.cuh"

constexpr size_t kVectors = kVariant ? 24u << 20 : 32u << 20;
constexpr int kEach = 4, kThreads = 256;

__global__ void KERNEL(const float4* in, float4* out) {
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  float4 held[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) held[i] = in[first + i * kThreads];
#pragma unroll
  for (int i = 0; i < kEach; ++i) out[first + i * kThreads] = held[i];
}

int main(int argc, char** argv) {
  auto* in = reinterpret_cast<float4*>(filled(kVectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(kVectors * 4));
  return run(argc, argv, {16.0 * kVectors, 16.0 * kVectors, 0},
             [=] { KERNEL<<<unsigned(kVectors / kEach / kThreads), kThreads>>>(in, out); });
}
