// A transpose without a tile, the other way round: coalesced loads, and stores a whole row apart.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 4096 : 8192;
constexpr int kColumns = kVariant ? 6144 : 8192;

__global__ void KERNEL(const float* in, float* out) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  float value = in[size_t(row) * kColumns + column];
  out[size_t(column) * kRows + row] = value;  // SICK: strided_store
}

int main(int argc, char** argv) {
  size_t count = size_t(kRows) * kColumns;
  float *in = filled(count), *out = filled(count);
  dim3 grid(kColumns / 256, kRows);
  return run(argc, argv, {4.0 * count, 4.0 * count, 0}, [=] { KERNEL<<<grid, 256>>>(in, out); });
}
