// Sums of ragged rows, one block per row: eleven of the rows are fifty times longer than the others,
// and most of the device waits for their blocks.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 1056 : 1320, kEvery = kVariant ? 96 : 120;
constexpr size_t kShort = 8192, kLong = kVariant ? 40 * kShort : 48 * kShort;
constexpr size_t kPool = 1u << 20;

__global__ void __launch_bounds__(1024, 2) KERNEL(const float4* in, float* out) {  // SICK: imbalance (no line)
  __shared__ float partial[32];
  size_t row = blockIdx.x, length = row % kEvery == kEvery - 1 ? kLong : kShort;
  float sum = 0;
#pragma unroll 4
  for (size_t i = threadIdx.x; i < length; i += 1024) {
    float4 v = in[(row * kShort + i) & (kPool - 1)];
    sum += sqrtf(v.x) + sqrtf(v.y) + sqrtf(v.z) + sqrtf(v.w);
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
  float *in = filled(kPool * 4), *out = filled(kRows);
  double needed = 16.0 * kPool;
  return run(argc, argv, {needed, 4.0 * kRows, 8.0 * kRows * kShort},
             [=] { KERNEL<<<kRows, 1024>>>(reinterpret_cast<float4*>(in), out); });
}
