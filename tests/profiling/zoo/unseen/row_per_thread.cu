// Row sums with one thread per row: at every step the lanes of a warp read a whole row apart.
#include "../zoo.cuh"

constexpr int kColumns = kVariant ? 768 : 1024, kThreads = 256;
constexpr int kRows = 132 * 1024;

__global__ void KERNEL(const float* in, float* out) {
  size_t row = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float sum = 0;
  for (int column = 0; column < kColumns; ++column)
    sum += in[row * kColumns + column];  // SICK: uncoalesced_load
  out[row] = sum;
}

int main(int argc, char** argv) {
  size_t count = size_t(kRows) * kColumns;
  float *in = filled(count), *out = filled(kRows);
  return run(argc, argv, {4.0 * count, 4.0 * kRows, 1.0 * count},
             [=] { KERNEL<<<kRows / kThreads, kThreads>>>(in, out); });
}
