// A walk whose 160 steps are all kept in registers until the end, so that eight warps fit an SM and
// nobody is there to work while each step waits for its load. The lanes of a warp walk side by side.
#include "../zoo.cuh"

constexpr int kSteps = kVariant ? 144 : 160;
constexpr int kThreads = 128, kBlocks = kVariant ? 132 * 8 : 132 * 12;
constexpr unsigned kTable = 1u << 21;

__global__ void KERNEL(const float* table, float* out) {  // SICK: occupancy_registers (no line)
  unsigned at = blockIdx.x * kThreads + threadIdx.x;
  float step[kSteps], sum = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    step[i] = __ldcg(&table[at & (kTable - 1)]);
    at += 4096u + unsigned(0.5f * step[i]);  // always 4096, but only the data say so
  }
#pragma unroll
  for (int i = 0; i < kSteps; ++i) sum += step[i];
  float mean = sum / kSteps, spread = 0;
#pragma unroll
  for (int i = 0; i < kSteps; ++i) spread += (step[i] - mean) * (step[i] - mean);
  out[blockIdx.x * kThreads + threadIdx.x] = spread;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *table = filled(kTable), *out = filled(count);
  return run(argc, argv, {4.0 * kTable, 4.0 * count, 3.0 * count * kSteps},
             [=] { KERNEL<<<kBlocks, kThreads>>>(table, out); });
}
