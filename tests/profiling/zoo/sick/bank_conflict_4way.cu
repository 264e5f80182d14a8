// Each lane owns four neighbouring floats in shared memory and walks them one by one, so that lanes
// 0, 8, 16 and 24 always meet in one bank: a four-way conflict in every access of the loop.
#include "../zoo.cuh"

constexpr int kThreads = 256, kOwn = 4;
constexpr int kRounds = kVariant ? 96 : 160;
constexpr int kBlocks = kVariant ? 132 * 16 : 132 * 24;

__global__ void KERNEL(const float* in, float* out) {
  __shared__ float own[kThreads * kOwn];
  size_t first = size_t(blockIdx.x) * kThreads * kOwn;
  for (int i = threadIdx.x; i < kThreads * kOwn; i += kThreads) own[i] = in[first + i];
  __syncthreads();
  float sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    int lane = (threadIdx.x + round) % kThreads;
#pragma unroll
    for (int j = 0; j < kOwn; ++j)
      sum += *reinterpret_cast<volatile float*>(&own[lane * kOwn + j]);  // SICK: bank_conflicts
  }
  out[size_t(blockIdx.x) * kThreads + threadIdx.x] = sum;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *in = filled(count * kOwn), *out = filled(count);
  return run(argc, argv, {4.0 * count * kOwn, 4.0 * count, 1.0 * count * kRounds * kOwn},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
