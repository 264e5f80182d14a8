// Eight different recipes, chosen per element: the lanes of a warp take them one after the other.
#include "../zoo.cuh"

constexpr int kSteps = kVariant ? 40 : 64;
constexpr size_t kCount = kVariant ? 3u << 20 : 4u << 20;

__device__ __noinline__ float decay(float x, float rate) {
  for (int i = 0; i < kSteps; ++i) x = fmaf(x, rate, 0.001f);
  return x;
}

__global__ void KERNEL(const float* in, float* out) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float x = in[i], y = x;
  switch (unsigned(x * 4096.0f) & 7) {  // SICK: divergence
    case 0: y = decay(x, 0.9f); break;
    case 1: y = decay(x + 1.0f, 0.8f) * x; break;
    case 2: y = decay(x * x, 0.7f) - x; break;
    case 3: y = decay(x - 2.0f, 0.6f) * 0.5f; break;
    case 4: y = decay(x * 3.0f, 0.5f) + 0.5f; break;
    case 5: y = decay(x + 4.0f, 0.4f) * 2.0f; break;
    case 6: y = decay(x * 5.0f, 0.3f) + x * x; break;
    default: y = decay(x + 6.0f, 0.2f); break;
  }
  out[i] = y;
}

int main(int argc, char** argv) {
  float *in = filled(kCount), *out = filled(kCount);
  return run(argc, argv, {4.0 * kCount, 4.0 * kCount, 2.0 * kCount * kSteps},
             [=] { KERNEL<<<unsigned(kCount / 256), 256>>>(in, out); });
}
