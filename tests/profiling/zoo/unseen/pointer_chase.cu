// A list of rows, each naming the next one: no load can start before the one ahead of it is back.
// The lanes of a warp stay side by side.
#include "../zoo.cuh"

constexpr unsigned kRows = 1u << 21, kLanes = 32;
constexpr int kThreads = 256, kSteps = kVariant ? 96 : 128;
constexpr int kBlocks = kVariant ? 132 * 5 : 132 * 4;

__global__ void link_rows(unsigned* next) {
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x, row = i / kLanes;
  // An odd factor and an odd step visit every row of a power of two once.
  next[i] = ((row * 1664525u + 1013904223u) & (kRows - 1)) * kLanes + i % kLanes;
}

__global__ void KERNEL(const unsigned* next, unsigned* out) {
  unsigned thread = blockIdx.x * kThreads + threadIdx.x, at = thread;
#pragma unroll 1
  for (int step = 0; step < kSteps; ++step)
    at = next[at];  // SICK: latency
  out[thread] = at;
}

int main(int argc, char** argv) {
  auto* next = reinterpret_cast<unsigned*>(filled(size_t(kRows) * kLanes));
  auto* out = reinterpret_cast<unsigned*>(filled(kBlocks * kThreads));
  link_rows<<<kRows * kLanes / 256, 256>>>(next);
  double visited = 4.0 * kBlocks * kThreads * kSteps;
  return run(argc, argv, {visited, 4.0 * kBlocks * kThreads, 0},
             [=] { KERNEL<<<kBlocks, kThreads>>>(next, out); });
}
