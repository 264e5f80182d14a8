// HEALTHY: eight independent chains of fused multiply-adds per thread, near the FP32 pipe's peak.
#include "../zoo.cuh"

constexpr int kThreads = 256, kSteps = kVariant ? 3000 : 4096, kChains = 8;
constexpr int kBlocks = kVariant ? 132 * 8 * 6 : 132 * 8 * 8;

__global__ void KERNEL(const float* in, float* out) {
  size_t i = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float chain[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) chain[c] = in[i] + 0.125f * c;
#pragma unroll 8
  for (int step = 0; step < kSteps; ++step)
#pragma unroll
    for (int c = 0; c < kChains; ++c) chain[c] = fmaf(chain[c], 0.999f, 0.001f);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < kChains; ++c) sum += chain[c];
  out[i] = sum;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 2.0 * count * kSteps * kChains},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
