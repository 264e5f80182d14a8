// HEALTHY: softmax over rows of 4096, read once into registers.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 12288 : 16384, kThreads = 256, kEach = 4;
constexpr int kVectors = kThreads * kEach;

template <typename Combine>
__device__ float block_wide(float x, float* partial, Combine combine) {
  for (int offset = 16; offset; offset /= 2) x = combine(x, __shfl_xor_sync(~0u, x, offset));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  x = partial[threadIdx.x % (kThreads / 32)];
  for (int offset = kThreads / 64; offset; offset /= 2) x = combine(x, __shfl_xor_sync(~0u, x, offset));
  return x;
}

__global__ void __launch_bounds__(kThreads, 8) KERNEL(const float4* in, float4* out) {
  __shared__ float partial[2][kThreads / 32];
  size_t first = size_t(blockIdx.x) * kVectors + threadIdx.x;
  float4 v[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = __ldcs(&in[first + i * kThreads]);
  float most = -1e30f, sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    most = fmaxf(most, fmaxf(fmaxf(v[i].x, v[i].y), fmaxf(v[i].z, v[i].w)));
  most = block_wide(most, partial[0], [](float a, float b) { return fmaxf(a, b); });
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    v[i] = {__expf(v[i].x - most), __expf(v[i].y - most), __expf(v[i].z - most), __expf(v[i].w - most)};
    sum += v[i].x + v[i].y + v[i].z + v[i].w;
  }
  sum = block_wide(sum, partial[1], [](float a, float b) { return a + b; });
  float scale = __frcp_rn(sum);
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    __stcs(&out[first + i * kThreads],
           make_float4(v[i].x * scale, v[i].y * scale, v[i].z * scale, v[i].w * scale));
}

int main(int argc, char** argv) {
  size_t vectors = size_t(kRows) * kVectors;
  auto* in = reinterpret_cast<float4*>(filled(vectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(vectors * 4));
  return run(argc, argv, {16.0 * vectors, 16.0 * vectors, 20.0 * vectors},
             [=] { KERNEL<<<kRows, kThreads>>>(in, out); });
}
