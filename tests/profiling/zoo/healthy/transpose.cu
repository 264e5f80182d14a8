// HEALTHY: the transpose of bank_conflict.cu with one float of padding per row of the tile.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 6144 : 8192;
constexpr int kColumns = kVariant ? 8192 : 8192;
constexpr int kTile = 32, kSteps = 8;

__global__ void KERNEL(const float* in, float* out) {
  __shared__ float tile[kTile][kTile + 1];
  int column = blockIdx.x * kTile + threadIdx.x, row = blockIdx.y * kTile + threadIdx.y;
#pragma unroll
  for (int i = 0; i < kTile; i += kSteps)
    tile[threadIdx.y + i][threadIdx.x] = in[size_t(row + i) * kColumns + column];
  __syncthreads();
  column = blockIdx.y * kTile + threadIdx.x;
  row = blockIdx.x * kTile + threadIdx.y;
#pragma unroll
  for (int i = 0; i < kTile; i += kSteps)
    out[size_t(row + i) * kRows + column] = tile[threadIdx.x][threadIdx.y + i];
}

int main(int argc, char** argv) {
  size_t count = size_t(kRows) * kColumns;
  float *in = filled(count), *out = filled(count);
  dim3 grid(kColumns / kTile, kRows / kTile), block(kTile, kSteps);
  return run(argc, argv, {4.0 * count, 4.0 * count, 0}, [=] { KERNEL<<<grid, block>>>(in, out); });
}
