// The sums of a row, of its squares and of its cubes, each in a pass of its own over a row that the
// L2 holds and the L1 is told not to: DRAM delivers the input once, the L2 three times.
#include "../zoo.cuh"

constexpr int kThreads = 512, kVectors = 2048;
constexpr int kRows = kVariant ? 8192 : 12288;

__device__ float added_up(float x, float* partial) {
  for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
  __syncthreads();
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  x = threadIdx.x % 32 < kThreads / 32 ? partial[threadIdx.x % 32] : 0.0f;
  for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(~0u, x, offset);
  return x;
}

__global__ void __launch_bounds__(kThreads, 4) KERNEL(const float4* in, float* out) {
  __shared__ float partial[32];
  const float4* row = in + size_t(blockIdx.x) * kVectors;
  float sum = 0, squares = 0, cubes = 0;
#pragma unroll
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = __ldcg(row + i);
    sum += v.x + v.y + v.z + v.w;
  }
  const float mean = added_up(sum, partial) / (4 * kVectors);
#pragma unroll
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = __ldcg(row + i);
    float a = v.x - mean, b = v.y - mean, c = v.z - mean, d = v.w - mean;
    squares += a * a + b * b + c * c + d * d;
  }
  const float scale = rsqrtf(added_up(squares, partial) / (4 * kVectors));
#pragma unroll
  for (int i = threadIdx.x; i < kVectors; i += kThreads) {
    float4 v = __ldcg(row + i);  // SICK: l2_rereads
    float a = (v.x - mean) * scale, b = (v.y - mean) * scale;
    float c = (v.z - mean) * scale, d = (v.w - mean) * scale;
    cubes += a * a * a + b * b * b + c * c * c + d * d * d;
  }
  cubes = added_up(cubes, partial);
  if (threadIdx.x == 0) out[blockIdx.x] = cubes / (4 * kVectors);
}

int main(int argc, char** argv) {
  size_t vectors = size_t(kRows) * kVectors;
  auto* in = reinterpret_cast<float4*>(filled(vectors * 4));
  float* out = filled(kRows);
  return run(argc, argv, {16.0 * vectors, 4.0 * kRows, 40.0 * vectors},
             [=] { KERNEL<<<kRows, kThreads>>>(in, out); });
}
