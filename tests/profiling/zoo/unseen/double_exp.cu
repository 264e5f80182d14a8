// A float sigmoid in which nobody wrote the f of expf: the argument becomes a double, and with it
// the exponential and the division.
#include "../zoo.cuh"

constexpr size_t kCount = kVariant ? 24u << 20 : 32u << 20;

__global__ void KERNEL(const float* in, float* out) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  out[i] = 1.0 / (1.0 + exp(-1.0 * in[i]));  // SICK: wrong_pipe
}

int main(int argc, char** argv) {
  float *in = filled(kCount), *out = filled(kCount);
  return run(argc, argv, {4.0 * kCount, 4.0 * kCount, 4.0 * kCount},
             [=] { KERNEL<<<unsigned(kCount / 256), 256>>>(in, out); });
}
