// HEALTHY: sums of many rows, one block each, eight 16-byte loads in flight per thread.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 132 * 64 : 132 * 96, kThreads = 256, kEach = 8;
constexpr int kVectors = kThreads * kEach;

__global__ void KERNEL(const float4* in, float* out) {
  __shared__ float partial[kThreads / 32];
  const float4* row = in + size_t(blockIdx.x) * kVectors;
  float4 held[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) held[i] = __ldcs(&row[i * kThreads + threadIdx.x]);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) sum += held[i].x + held[i].y + held[i].z + held[i].w;
  for (int offset = 16; offset; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int i = 0; i < kThreads / 32; ++i) total += partial[i];
    out[blockIdx.x] = total;
  }
}

int main(int argc, char** argv) {
  size_t vectors = size_t(kRows) * kVectors;
  auto* in = reinterpret_cast<float4*>(filled(vectors * 4));
  float* out = filled(kRows);
  return run(argc, argv, {16.0 * vectors, 4.0 * kRows, 4.0 * vectors},
             [=] { KERNEL<<<kRows, kThreads>>>(in, out); });
}
