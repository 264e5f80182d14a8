// A sum that loads four bytes per lane and adds them before it asks for the next four: too few bytes
// are on their way to keep DRAM busy.
#include "../zoo.cuh"

constexpr size_t kCount = kVariant ? 48u << 20 : 64u << 20;
constexpr int kBlocks = 132 * 4, kThreads = 256;

__global__ void KERNEL(const float* in, float* out) {
  size_t stride = size_t(kBlocks) * kThreads, first = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float sum = 0;
#pragma unroll 1
  for (size_t i = first; i < kCount; i += stride)
    sum += in[i];  // SICK: scalar_loads
  out[first] = sum;
}

int main(int argc, char** argv) {
  float *in = filled(kCount), *out = filled(size_t(kBlocks) * kThreads);
  return run(argc, argv, {4.0 * kCount, 4.0 * kBlocks * kThreads, 1.0 * kCount},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
