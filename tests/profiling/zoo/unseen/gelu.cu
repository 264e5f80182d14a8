// HEALTHY: GELU with the fast hyperbolic tangent, bound by memory like every element-wise kernel.
#include "../zoo.cuh"

constexpr size_t kVectors = kVariant ? 20u << 20 : 28u << 20;
constexpr int kEach = 2, kThreads = 256;

__device__ float gelu(float x) {
  float inner = 0.7978845608f * (x + 0.044715f * x * x * x), tanh_inner;
  asm("tanh.approx.f32 %0, %1;" : "=f"(tanh_inner) : "f"(inner));
  return 0.5f * x * (1.0f + tanh_inner);
}

__global__ void KERNEL(const float4* in, float4* out) {
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  float4 v[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) v[i] = in[first + i * kThreads];
#pragma unroll
  for (int i = 0; i < kEach; ++i)
    out[first + i * kThreads] = {gelu(v[i].x), gelu(v[i].y), gelu(v[i].z), gelu(v[i].w)};
}

int main(int argc, char** argv) {
  auto* in = reinterpret_cast<float4*>(filled(kVectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(kVectors * 4));
  return run(argc, argv, {16.0 * kVectors, 16.0 * kVectors, 32.0 * kVectors},
             [=] { KERNEL<<<unsigned(kVectors / kEach / kThreads), kThreads>>>(in, out); });
}
