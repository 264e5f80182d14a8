// Small blocks that each claim 112 KB of shared memory: two of them, eight warps, fit an SM, too few
// to hide the latency of a walk from load to load.
#include "../zoo.cuh"

constexpr int kSteps = 64, kThreads = 128;
constexpr int kBlocks = kVariant ? 132 * 8 : 132 * 14;
constexpr unsigned kTable = 1u << 21;
constexpr size_t kShared = kVariant ? 100 << 10 : 112 << 10;

__global__ void KERNEL(const float* table, float* out) {
  extern __shared__ float steps[];  // SICK: occupancy_shared (no line)
  unsigned at = blockIdx.x * kThreads + threadIdx.x;
  float sum = 0;
#pragma unroll 1
  for (int i = 0; i < kSteps; ++i) {
    float step = __ldcg(&table[at & (kTable - 1)]);
    steps[i * kThreads + threadIdx.x] = step;
    sum += step;
    at += 4096u + unsigned(0.5f * step);  // always 4096, but only the data say so
  }
  float mean = sum / kSteps, spread = 0;
  for (int i = 0; i < kSteps; ++i) {
    float distance = steps[i * kThreads + threadIdx.x] - mean;
    spread += distance * distance;
  }
  out[blockIdx.x * kThreads + threadIdx.x] = spread;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *table = filled(kTable), *out = filled(count);
  check(cudaFuncSetAttribute(KERNEL, cudaFuncAttributeMaxDynamicSharedMemorySize, int(kShared)),
        "shared memory");
  return run(argc, argv, {4.0 * kTable, 4.0 * count, 3.0 * count * kSteps},
             [=] { KERNEL<<<kBlocks, kThreads, kShared>>>(table, out); });
}
