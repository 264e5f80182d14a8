// Sixty-four kernels of a few microseconds, each waited for by the host before the next one starts.
// TIMELINE
#include "../zoo.cuh"

constexpr int kLaunches = kVariant ? 40 : 64;
constexpr size_t kCount = kVariant ? 96u << 10 : 64u << 10;

__global__ void KERNEL(const float* in, float* out) {  // SICK: launch_gaps (no line)
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  out[i] = 0.5f * in[i] + 0.1f;
}

int main(int argc, char** argv) {
  float *in = filled(kCount), *out = filled(kCount);
  auto call = [=] {
    for (int i = 0; i < kLaunches; ++i) {
      KERNEL<<<unsigned(kCount / 256), 256>>>(i % 2 ? out : in, i % 2 ? in : out);
      check(cudaStreamSynchronize(nullptr), "synchronize");
    }
  };
  double bytes = 4.0 * kCount;
  return run(argc, argv, {bytes, bytes, 2.0 * kCount * kLaunches}, call);
}
