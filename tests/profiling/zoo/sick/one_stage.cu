// Rows come by bulk copies (TMA), one at a time: a block asks for a row, waits until it is there,
// works on it, and only then asks for the next. Sixteen kilobytes per SM are ever on their way.
#include "../zoo.cuh"

#include <cstdint>

constexpr int kThreads = 256, kFloats = 4096, kBlocks = 132;
constexpr int kRows = kVariant ? 132 * 96 : 132 * 128;

__device__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__global__ void __launch_bounds__(kThreads, 1) KERNEL(const float* in, float* out) {
  __shared__ alignas(128) float row[kFloats];
  __shared__ alignas(8) uint64_t arrived;
  extern __shared__ char only_one_block_per_sm[];
  const uint32_t barrier = shared_address(&arrived), bytes = kFloats * sizeof(float);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(barrier));
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  float sum = 0;
  uint32_t phase = 0;
  for (int r = blockIdx.x; r < kRows; r += kBlocks, phase ^= 1) {
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                   : "memory");
      asm volatile(
          "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
              shared_address(row)),
          "l"(in + size_t(r) * kFloats), "r"(bytes), "r"(barrier)
          : "memory");
    }
    uint32_t done = 0;
    while (!done)
      asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(barrier), "r"(phase) : "memory");  // SICK: mbarrier_wait
    for (int i = threadIdx.x; i < kFloats; i += kThreads) sum += row[i];
    __syncthreads();
  }
  out[blockIdx.x * kThreads + threadIdx.x] = sum;
}

int main(int argc, char** argv) {
  size_t count = size_t(kRows) * kFloats;
  float *in = filled(count), *out = filled(size_t(kBlocks) * kThreads);
  constexpr int alone = 120 << 10;
  check(cudaFuncSetAttribute(KERNEL, cudaFuncAttributeMaxDynamicSharedMemorySize, alone), "shared");
  return run(argc, argv, {4.0 * count, 4.0 * kBlocks * kThreads, 1.0 * count},
             [=] { KERNEL<<<kBlocks, kThreads, alone>>>(in, out); });
}
