// HEALTHY: the sum of a large array, reduced per block, with a single atomic for each block.
#include "../zoo.cuh"

constexpr int kThreads = 256, kEach = 8;
constexpr int kBlocks = kVariant ? 132 * 96 : 132 * 128;

__global__ void KERNEL(const float4* in, float* total) {
  __shared__ float partial[kThreads / 32];
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  float4 v[kEach];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = __ldcs(&in[first + i * kThreads]);
#pragma unroll
  for (int i = 0; i < kEach; ++i) sum += v[i].x + v[i].y + v[i].z + v[i].w;
  for (int offset = 16; offset; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float block = 0;
    for (int i = 0; i < kThreads / 32; ++i) block += partial[i];
    atomicAdd(total, block);
  }
}

int main(int argc, char** argv) {
  size_t vectors = size_t(kBlocks) * kThreads * kEach;
  auto* in = reinterpret_cast<float4*>(filled(vectors * 4));
  float* total = filled(1);
  return run(argc, argv, {16.0 * vectors, 4, 4.0 * vectors},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, total); });
}
