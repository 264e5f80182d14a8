// Blocks of one warp: an SM holds 32 blocks, so that half of its warps stay away from a walk that
// waits for each of its loads.
#include "../zoo.cuh"

constexpr int kThreads = 32, kSteps = kVariant ? 48 : 64;
constexpr int kBlocks = 132 * 32 * 8;
constexpr unsigned kTable = 1u << 26;

__global__ void KERNEL(const float* table, float* out) {  // SICK: occupancy_blocks (no line)
  unsigned thread = blockIdx.x * kThreads + threadIdx.x, at = thread;
  float sum = 0;
#pragma unroll 1
  for (int i = 0; i < kSteps; ++i) {
    float step = __ldcg(&table[at & (kTable - 1)]);
    sum += step;
    at += 1048576u + 32u * unsigned(0.5f * step);  // one row, but only the data say so
  }
  out[thread] = sum;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *table = filled(kTable), *out = filled(count);
  return run(argc, argv, {4.0 * kTable, 4.0 * count, 1.0 * count * kSteps},
             [=] { KERNEL<<<kBlocks, kThreads>>>(table, out); });
}
