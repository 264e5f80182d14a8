// The blocks of a cluster hand their partial sums round through global memory, and each of the many
// barriers between them releases: every time all that was written must be visible first.
#include "../zoo.cuh"

constexpr int kThreads = 256, kCluster = kVariant ? 4 : 8, kRounds = kVariant ? 48 : 64;
constexpr int kBlocks = kVariant ? 128 * 4 : 128 * 8;

__global__ void __cluster_dims__(kCluster, 1, 1) KERNEL(const float* in, float* out) {
  size_t mine = size_t(blockIdx.x) * kThreads + threadIdx.x;
  size_t next = blockIdx.x % kCluster == kCluster - 1 ? mine - size_t(kCluster - 1) * kThreads
                                                      : mine + kThreads;
  float x = in[mine];
  for (int round = 0; round < kRounds; ++round) {
    out[mine] = x;
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");  // SICK: fences
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    x = fmaf(__ldcg(out + next), 0.5f, 0.25f);
    asm volatile("barrier.cluster.arrive.relaxed.aligned;");
    asm volatile("barrier.cluster.wait.aligned;");
  }
  out[mine] = x;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 2.0 * count * kRounds},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
