// Softmax as the textbook has it: one pass for the maximum, one for the sum, one for the result,
// over rows that no cache holds until the next pass.
#include "../zoo.cuh"

constexpr int kThreads = 1024, kRows = 132 * 2;
constexpr int kVectors = kVariant ? 49152 : 65536;

template <typename Combine>
__device__ float block_wide(float x, float* partial, Combine combine) {
  for (int offset = 16; offset; offset /= 2) x = combine(x, __shfl_xor_sync(~0u, x, offset));
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  x = partial[threadIdx.x % 32];
  for (int offset = 16; offset; offset /= 2) x = combine(x, __shfl_xor_sync(~0u, x, offset));
  return x;
}

__global__ void __launch_bounds__(kThreads, 2) KERNEL(const float4* in, float4* out) {
  __shared__ float partial[32];
  const float4* row = in + size_t(blockIdx.x) * kVectors;
  float most = -1e30f, sum = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = row[i];
    most = fmaxf(most, fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)));
  }
  most = block_wide(most, partial, [](float a, float b) { return fmaxf(a, b); });
#pragma unroll 4
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = row[i];
    sum += __expf(v.x - most) + __expf(v.y - most) + __expf(v.z - most) + __expf(v.w - most);
  }
  sum = block_wide(sum, partial, [](float a, float b) { return a + b; });
  float scale = 1.0f / sum;
#pragma unroll 4
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = row[i];  // SICK: extra_traffic
    out[size_t(blockIdx.x) * kVectors + i] = {__expf(v.x - most) * scale, __expf(v.y - most) * scale,
                                              __expf(v.z - most) * scale, __expf(v.w - most) * scale};
  }
}

int main(int argc, char** argv) {
  size_t vectors = size_t(kRows) * kVectors;
  auto* in = reinterpret_cast<float4*>(filled(vectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(vectors * 4));
  return run(argc, argv, {16.0 * vectors, 16.0 * vectors, 20.0 * vectors},
             [=] { KERNEL<<<kRows, kThreads>>>(in, out); });
}
