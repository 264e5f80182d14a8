// A half-precision matrix product, tiled well enough, on the plain FP32 pipe.
#include "../zoo.cuh"

#include <cuda_fp16.h>

constexpr int kN = kVariant ? 1536 : 2048, kTile = 64, kDepth = 16;

__global__ void KERNEL(const __half* a, const __half* b, __half* c) {
  __shared__ float left[kDepth][kTile + 4], right[kDepth][kTile];
  int row = blockIdx.y * kTile, column = blockIdx.x * kTile, t = threadIdx.x;
  int ty = t / 16 * 4, tx = t % 16 * 4;
  float sum[4][4] = {};
  for (int k = 0; k < kN; k += kDepth) {
    for (int i = t; i < kTile * kDepth; i += 256) {
      left[i % kDepth][i / kDepth] = __half2float(a[size_t(row + i / kDepth) * kN + k + i % kDepth]);
      right[i / kTile][i % kTile] = __half2float(b[size_t(k + i / kTile) * kN + column + i % kTile]);
    }
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      float4 l = *reinterpret_cast<float4*>(&left[d][ty]);
      float4 r = *reinterpret_cast<float4*>(&right[d][tx]);
      float ls[4] = {l.x, l.y, l.z, l.w}, rs[4] = {r.x, r.y, r.z, r.w};
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          sum[i][j] = fmaf(ls[i], rs[j], sum[i][j]);  // SICK: no_tensor_cores (no line)
    }
    __syncthreads();
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      c[size_t(row + ty + i) * kN + column + tx + j] = __float2half(sum[i][j]);
}

int main(int argc, char** argv) {
  size_t count = size_t(kN) * kN;
  auto* a = reinterpret_cast<__half*>(filled(count / 2));
  auto* b = reinterpret_cast<__half*>(filled(count / 2));
  auto* c = reinterpret_cast<__half*>(filled(count / 2));
  dim3 grid(kN / kTile, kN / kTile);
  return run(argc, argv, {4.0 * count, 2.0 * count, 2.0 * count * kN, "fp16", true},
             [=] { KERNEL<<<grid, 256>>>(a, b, c); });
}
