// A block-wide scan in which one warp does each step alone while fifteen others wait at the barrier.
#include "../zoo.cuh"

constexpr int kThreads = 512, kRounds = kVariant ? 24 : 40;
constexpr int kBlocks = kVariant ? 132 * 6 : 132 * 8;

__global__ void KERNEL(const float* in, float* out) {
  __shared__ float carry[32];
  size_t i = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float x = in[i];
  if (threadIdx.x < 32) carry[threadIdx.x] = x;
  for (int round = 0; round < kRounds; ++round) {
    if (threadIdx.x < 32) {
      float c = carry[threadIdx.x];
      for (int step = 0; step < 64; ++step) c = fmaf(c, 0.99f, 0.01f);
      carry[threadIdx.x] = c;
    }
    __syncthreads();  // SICK: barriers
    x += carry[(threadIdx.x + round) % 32];
    __syncthreads();
  }
  out[i] = x;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 2.0 * count * kRounds},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
