// A recurrence along each row, one warp per row: the row is loaded by all lanes and then walked by
// the first one alone.
#include "../zoo.cuh"

constexpr int kWarps = 8, kLength = kVariant ? 192 : 256;
constexpr int kRows = 132 * 8 * kWarps;

__global__ void KERNEL(const float* in, float* out) {
  __shared__ float rows[kWarps][kLength];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  size_t row = size_t(blockIdx.x) * kWarps + warp;
  for (int i = lane; i < kLength; i += 32) rows[warp][i] = in[row * kLength + i];
  __syncwarp();
  if (lane == 0) {  // SICK: divergence
    float state = 0;
    for (int i = 0; i < kLength; ++i) {
      state = fmaf(state, 0.9f, rows[warp][i]);
      rows[warp][i] = state;
    }
  }
  __syncwarp();
  for (int i = lane; i < kLength; i += 32) out[row * kLength + i] = rows[warp][i];
}

int main(int argc, char** argv) {
  size_t count = size_t(kRows) * kLength;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 2.0 * count},
             [=] { KERNEL<<<kRows / kWarps, kWarps * 32>>>(in, out); });
}
