// A histogram of four bins in global memory: every lane of the device adds to the same few words.
#include "../zoo.cuh"

constexpr size_t kCount = kVariant ? 3u << 20 : 4u << 20;

__global__ void KERNEL(const float* in, float* bins) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float x = in[i];
  atomicAdd(&bins[unsigned(x * 1024.0f) & 3], x);  // SICK: atomics
}

int main(int argc, char** argv) {
  float *in = filled(kCount), *bins = filled(4);
  return run(argc, argv, {4.0 * kCount, 16, 1.0 * kCount},
             [=] { KERNEL<<<unsigned(kCount / 256), 256>>>(in, bins); });
}
