// Subtract each chunk's mean: the chunk is read once to sum it and, when it has long left the caches,
// a second time to subtract.
#include "../zoo.cuh"

constexpr int kThreads = 1024, kChunks = kVariant ? 264 : 528;
constexpr int kVectors = kVariant ? 81920 : 65536;

__global__ void __launch_bounds__(kThreads, 2) KERNEL(const float4* in, float4* out) {
  __shared__ float partial[32];
  const float4* chunk = in + size_t(blockIdx.x) * kVectors;
  float sum = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = chunk[i];
    sum += v.x + v.y + v.z + v.w;
  }
  for (int offset = 16; offset; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = partial[threadIdx.x % 32];
  for (int offset = 16; offset; offset /= 2) sum += __shfl_xor_sync(~0u, sum, offset);
  float mean = sum / (4.0f * kVectors);
#pragma unroll 4
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = chunk[i];  // SICK: extra_traffic
    out[size_t(blockIdx.x) * kVectors + i] = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
  }
}

int main(int argc, char** argv) {
  size_t count = size_t(kChunks) * kVectors * 4;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 2.0 * count}, [=] {
    KERNEL<<<kChunks, kThreads>>>(reinterpret_cast<float4*>(in), reinterpret_cast<float4*>(out));
  });
}
