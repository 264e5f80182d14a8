// Float data and double constants: every step is converted to double, multiplied there and converted
// back.
#include "../zoo.cuh"

constexpr int kSteps = kVariant ? 96 : 128;
constexpr size_t kCount = kVariant ? 3u << 20 : 4u << 20;

__global__ void KERNEL(const float* in, float* out) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float x = in[i];
  for (int step = 0; step < kSteps; ++step)
    x = x * 0.999 + 0.001;  // SICK: wrong_pipe
  out[i] = x;
}

int main(int argc, char** argv) {
  float *in = filled(kCount), *out = filled(kCount);
  return run(argc, argv, {4.0 * kCount, 4.0 * kCount, 2.0 * kCount * kSteps},
             [=] { KERNEL<<<unsigned(kCount / 256), 256>>>(in, out); });
}
