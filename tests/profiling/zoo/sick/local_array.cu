// A small array indexed by data: it cannot live in registers and goes to local memory.
#include "../zoo.cuh"

constexpr int kBins = 24, kSteps = kVariant ? 192 : 256;
constexpr size_t kThreads = kVariant ? 132 * 1536 : 132 * 2048;

__global__ void KERNEL(const float* in, float* out) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float bins[kBins];
  for (int b = 0; b < kBins; ++b) bins[b] = float(b) * in[i];
  float x = in[i];
  for (int step = 0; step < kSteps; ++step) {
    int bin = int(x * 4096.0f) % kBins;
    bins[bin] += x;  // SICK: local_arrays
    x = fmaf(x, 0.97f, 0.017f);
  }
  float sum = 0;
  for (int b = 0; b < kBins; ++b) sum += bins[b] * bins[b];
  out[i] = sum;
}

int main(int argc, char** argv) {
  float *in = filled(kThreads), *out = filled(kThreads);
  return run(argc, argv, {4.0 * kThreads, 4.0 * kThreads, 4.0 * kThreads * kSteps},
             [=] { KERNEL<<<unsigned(kThreads / 256), 256>>>(in, out); });
}
