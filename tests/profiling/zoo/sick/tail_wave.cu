// Two large blocks fit each SM; the grid is one full wave and a few blocks more, for which nearly
// all SMs wait.
#include "../zoo.cuh"

constexpr int kThreads = 1024, kSteps = kVariant ? 6000 : 8000;
constexpr int kBlocks = kVariant ? 264 + 20 : 264 + 32;

__global__ void __launch_bounds__(kThreads, 2) KERNEL(const float* in, float* out) {  // SICK: tail (no line)
  size_t i = size_t(blockIdx.x) * kThreads + threadIdx.x;
  float a = in[i], b = a + 0.5f, c = a + 0.25f, d = a + 0.125f;
#pragma unroll 4
  for (int step = 0; step < kSteps; ++step) {
    a = fmaf(a, 0.999f, 0.001f);
    b = fmaf(b, 0.999f, 0.001f);
    c = fmaf(c, 0.999f, 0.001f);
    d = fmaf(d, 0.999f, 0.001f);
  }
  out[i] = a + b + c + d;
}

int main(int argc, char** argv) {
  size_t count = size_t(kBlocks) * kThreads;
  float *in = filled(count), *out = filled(count);
  return run(argc, argv, {4.0 * count, 4.0 * count, 8.0 * count * kSteps},
             [=] { KERNEL<<<kBlocks, kThreads>>>(in, out); });
}
