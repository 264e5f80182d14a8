// Ninety-six values per thread, all alive at once, under a bound of 32 registers: most of them go to
// local memory and come back for each use.
#include "../zoo.cuh"

constexpr int kHeld = 96, kThreads = 1024;
constexpr int kBlocks = kVariant ? 132 * 3 : 132 * 4;

__global__ void __launch_bounds__(kThreads, 2) KERNEL(const float* in, float* out) {
  size_t stride = size_t(gridDim.x) * kThreads, first = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float held[kHeld], sum = 0;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) held[i] = in[first + i * stride];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) sum += held[i];
  float mean = sum / kHeld;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) out[first + i * stride] = held[i] - mean;  // SICK: spills
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads * kHeld;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 2.0 * count},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
