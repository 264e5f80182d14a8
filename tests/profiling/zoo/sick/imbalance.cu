// The row sums of a lower triangle, one block per row: the last rows take a thousand times longer
// than the first, and their blocks start last.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 528 : 660;
constexpr size_t kStep = kVariant ? 1536 : 1024;

__global__ void __launch_bounds__(1024, 1) KERNEL(const float4* in, float* out) {  // SICK: imbalance (no line)
  __shared__ float partial[32];
  size_t row = blockIdx.x, first = row * (row + 1) / 2 * kStep / 4, length = (row + 1) * kStep / 4;
  float sum = 0;
  for (int again = 0; again < 2; ++again) {
#pragma unroll 4
    for (size_t i = threadIdx.x; i < length; i += 1024) {
      float4 v = in[(first + i) & ((1u << 20) - 1)];
      sum += sqrtf(v.x) + sqrtf(v.y) + sqrtf(v.z) + sqrtf(v.w);
    }
  }
  for (int offset = 16; offset; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int i = 0; i < 32; ++i) total += partial[i];
    out[row] = total;
  }
}

int main(int argc, char** argv) {
  float *in = filled(4u << 20), *out = filled(kRows);
  return run(argc, argv, {16777216.0, 4.0 * kRows, 16777216.0},
             [=] { KERNEL<<<kRows, 1024>>>(reinterpret_cast<float4*>(in), out); });
}
