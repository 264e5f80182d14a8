// Blocks that all reside at once add up a small piece each and meet after every step: one thread of
// each spins on a word that the others publish, and the rest of the block waits for it.
#include "../zoo.cuh"

constexpr int kThreads = 256, kBlocks = 128, kSteps = kVariant ? 24 : 40;
constexpr size_t kPiece = 4;

__global__ void KERNEL(const float* in, float* out, unsigned* arrived, unsigned base) {
  size_t first = size_t(blockIdx.x) * kThreads * kPiece + threadIdx.x;
  float x = 0;
  for (int step = 0; step < kSteps; ++step) {
    for (size_t i = 0; i < kPiece; ++i) x = fmaf(x, 0.5f, in[first + i * kThreads]);
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(arrived, 1u);
      unsigned wanted = base + kBlocks * (step + 1), seen;
      do {
        asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(seen) : "l"(arrived) : "memory");  // SICK: grid_wait
      } while (seen - base < wanted - base);
    }
    __syncthreads();
  }
  out[blockIdx.x * kThreads + threadIdx.x] = x;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads * kPiece;
  float *in = filled(count), *out = filled(size_t(kBlocks) * kThreads);
  unsigned* arrived = nullptr;
  check(cudaMalloc(&arrived, sizeof(unsigned)), "cudaMalloc");
  // The count starts anew with every launch; a fill of four bytes is part of the call.
  auto call = [=] {
    check(cudaMemsetAsync(arrived, 0, sizeof(unsigned)), "memset");
    KERNEL<<<kBlocks, kThreads>>>(in, out, arrived, 0u);
  };
  return run(argc, argv, {4.0 * count, 4.0 * kBlocks * kThreads, 2.0 * count * kSteps}, call);
}
