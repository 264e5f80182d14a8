// HEALTHY: one block per SM, and a quarter of the blocks has twice the work of the others. While any
// of them works the DRAM is nearly full, and dealing the rows evenly would win 8 % at most.
#include "../zoo.cuh"

constexpr int kThreads = 1024, kBlocks = 132, kVectors = 8192;
constexpr int kShare = kVariant ? 24 : 32, kHeavy = 4;

__global__ void __launch_bounds__(kThreads, 1) KERNEL(const float4* in, float* out) {
  int light = blockIdx.x - (blockIdx.x + kHeavy - 1) / kHeavy;
  int heavy = blockIdx.x - light;
  int first = (light + 2 * heavy) * kShare;
  int rows = blockIdx.x % kHeavy == 0 ? 2 * kShare : kShare;
  for (int row = first; row < first + rows; ++row) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kVectors / kThreads; ++i) {
      float4 v = in[size_t(row) * kVectors + i * kThreads + threadIdx.x];
      sum += v.x + v.y + v.z + v.w;
    }
    out[size_t(row) * kThreads + threadIdx.x] = sum;
  }
}

int main(int argc, char** argv) {
  size_t rows = size_t(kShare) * (kBlocks + kBlocks / kHeavy);
  auto* in = reinterpret_cast<float4*>(filled(rows * kVectors * 4));
  float* out = filled(rows * kThreads);
  return run(argc, argv, {16.0 * rows * kVectors, 4.0 * rows * kThreads, 4.0 * rows * kVectors},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
