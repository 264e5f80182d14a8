// One block per SM with a share of the rows dealt beforehand: four blocks have sixteen times the work
// of the others, too few to keep the memory busy when those are done.
#include "../zoo.cuh"

constexpr int kThreads = 512, kBlocks = 132, kVectors = 4096, kEvery = 33, kTimes = 16;
constexpr int kShare = kVariant ? 6 : 8;

__global__ void __launch_bounds__(kThreads, 1) KERNEL(const float4* in, float* out) {  // SICK: imbalance (no line)
  int heavy = (blockIdx.x + kEvery - 1) / kEvery, light = blockIdx.x - heavy;
  int first = (light + kTimes * heavy) * kShare;
  int rows = blockIdx.x % kEvery == 0 ? kTimes * kShare : kShare;
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
  size_t rows = size_t(kShare) * (kBlocks - kBlocks / kEvery + kTimes * (kBlocks / kEvery));
  auto* in = reinterpret_cast<float4*>(filled(rows * kVectors * 4));
  float* out = filled(rows * kThreads);
  return run(argc, argv, {16.0 * rows * kVectors, 4.0 * rows * kThreads, 4.0 * rows * kVectors},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
