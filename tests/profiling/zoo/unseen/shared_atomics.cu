// A weighted histogram of four bins, kept in shared memory per block: the lanes of every warp meet
// in the same few words and are served in turn.
#include "../zoo.cuh"

constexpr int kThreads = 256, kEach = 64;
constexpr int kBlocks = kVariant ? 132 * 24 : 132 * 32;

__global__ void KERNEL(const float* in, unsigned* out) {
  __shared__ unsigned bins[4];
  if (threadIdx.x < 4) bins[threadIdx.x] = 0;
  __syncthreads();
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
#pragma unroll 8
  for (int i = 0; i < kEach; ++i) {
    unsigned x = __float_as_uint(in[first + i * kThreads]);
    atomicAdd(&bins[(x >> 6) & 3], (x >> 12) & 7);  // SICK: atomics
  }
  __syncthreads();
  if (threadIdx.x < 4) out[blockIdx.x * 4 + threadIdx.x] = bins[threadIdx.x];
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads * kEach;
  float* in = filled(count);
  auto* out = reinterpret_cast<unsigned*>(filled(kBlocks * 4));
  return run(argc, argv, {4.0 * count, 16.0 * kBlocks, 0},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
