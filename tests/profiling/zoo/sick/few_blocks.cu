// Rows of a tall reduction dealt to as many blocks as there are rows: 24 blocks on 132 SMs.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 16 : 24;
constexpr size_t kColumns = kVariant ? 3u << 20 : 2u << 20;

__global__ void KERNEL(const float4* in, float* out) {  // SICK: few_blocks (no line)
  __shared__ float partial[32];
  const float4* row = in + size_t(blockIdx.x) * kColumns / 4;
  float sum = 0;
#pragma unroll 4
  for (size_t i = threadIdx.x; i < kColumns / 4; i += blockDim.x) {
    float4 v = row[i];
    sum += v.x + v.y + v.z + v.w;
  }
  for (int offset = 16; offset; offset /= 2) sum += __shfl_down_sync(~0u, sum, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (int i = 0; i < 32; ++i) total += partial[i];
    out[blockIdx.x] = total;
  }
}

int main(int argc, char** argv) {
  float *in = filled(kRows * kColumns), *out = filled(kRows);
  return run(argc, argv, {4.0 * kRows * kColumns, 4.0 * kRows, 1.0 * kRows * kColumns},
             [=] { KERNEL<<<kRows, 1024>>>(reinterpret_cast<float4*>(in), out); });
}
