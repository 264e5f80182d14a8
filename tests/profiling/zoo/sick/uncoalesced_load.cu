// A transpose without a tile: neighbouring lanes read addresses a whole row apart and use 4 bytes
// of each 32-byte sector. The stores are coalesced.
#include "../zoo.cuh"

constexpr int kRows = kVariant ? 6144 : 8192;
constexpr int kColumns = kVariant ? 4096 : 8192;

__global__ void KERNEL(const float* in, float* out) {
  int row = blockIdx.x * blockDim.x + threadIdx.x, column = blockIdx.y;
  out[size_t(column) * kRows + row] = in[size_t(row) * kColumns + column];  // SICK: uncoalesced_load
}

int main(int argc, char** argv) {
  size_t count = size_t(kRows) * kColumns;
  float *in = filled(count), *out = filled(count);
  dim3 grid(kRows / 256, kColumns);
  return run(argc, argv, {4.0 * count, 4.0 * count, 0}, [=] { KERNEL<<<grid, 256>>>(in, out); });
}
