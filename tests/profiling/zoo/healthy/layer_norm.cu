// HEALTHY: LayerNorm over rows of 8192, read once into registers, two-step mean and variance.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 6144 : 8192, kThreads = 512, kEach = 4;
constexpr int kVectors = kThreads * kEach;

__device__ float block_sum(float x, float* partial) {
  for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  x = partial[threadIdx.x % (kThreads / 32)];
  for (int offset = kThreads / 64; offset; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
  return x;
}

__global__ void __launch_bounds__(kThreads, 4) KERNEL(const float4* in, float4* out) {
  __shared__ float partial[kThreads / 32];
  size_t first = size_t(blockIdx.x) * kVectors + threadIdx.x;
  float4 v[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = __ldcs(&in[first + i * kThreads]);
  float sum = 0, squares = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) sum += v[i].x + v[i].y + v[i].z + v[i].w;
  float mean = block_sum(sum, partial) / (4.0f * kVectors);
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    v[i] = {v[i].x - mean, v[i].y - mean, v[i].z - mean, v[i].w - mean};
    squares += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  }
  float scale = rsqrtf(block_sum(squares, partial) / (4.0f * kVectors) + 1e-5f);
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    __stcs(&out[first + i * kThreads],
           make_float4(v[i].x * scale, v[i].y * scale, v[i].z * scale, v[i].w * scale));
}

int main(int argc, char** argv) {
  size_t vectors = size_t(kRows) * kVectors;
  auto* in = reinterpret_cast<float4*>(filled(vectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(vectors * 4));
  return run(argc, argv, {16.0 * vectors, 16.0 * vectors, 28.0 * vectors},
             [=] { KERNEL<<<kRows, kThreads>>>(in, out); });
}
