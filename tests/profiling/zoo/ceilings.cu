// The ceilings of the device at hand: bytes per second of a copy, a read and a write, and FP32
// multiply-adds per second; medians of 20 runs with a cold L2. Prints one line of JSON.
#include "zoo.cuh"

constexpr size_t kVectors = 64u << 20;
constexpr int kThreads = 256, kEach = 4;

__global__ void copy_all(const float4* in, float4* out) {
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  float4 held[kEach];
#pragma unroll
  for (int i = 0; i < kEach; ++i) held[i] = in[first + i * kThreads];
#pragma unroll
  for (int i = 0; i < kEach; ++i) out[first + i * kThreads] = held[i];
}

__global__ void read_all(const float4* in, float* out) {
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  float4 held[kEach];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kEach; ++i) held[i] = __ldcs(&in[first + i * kThreads]);
#pragma unroll
  for (int i = 0; i < kEach; ++i) sum += held[i].x + held[i].y + held[i].z + held[i].w;
  if (sum == 1.2345f) *out = sum;
}

__global__ void write_all(float4* out) {
  size_t first = size_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kEach; ++i) out[first + i * kThreads] = {1.0f, 2.0f, float(i), 4.0f};
}

__global__ void multiply_add(float* out) {
  float chain[8];
#pragma unroll
  for (int c = 0; c < 8; ++c) chain[c] = threadIdx.x + 0.125f * c;
#pragma unroll 8
  for (int step = 0; step < 4096; ++step)
#pragma unroll
    for (int c = 0; c < 8; ++c) chain[c] = fmaf(chain[c], 0.999f, 0.001f);
  float sum = 0;
#pragma unroll
  for (int c = 0; c < 8; ++c) sum += chain[c];
  out[blockIdx.x * kThreads + threadIdx.x] = sum;
}

int main() {
  auto* in = reinterpret_cast<float4*>(filled(kVectors * 4));
  auto* out = reinterpret_cast<float4*>(filled(kVectors * 4));
  size_t flush_bytes = size_t(128) << 20;
  void* flush = nullptr;
  check(cudaMalloc(&flush, flush_bytes), "cudaMalloc");
  unsigned blocks = kVectors / kEach / kThreads;
  auto* scalar = reinterpret_cast<float*>(out);
  double bytes = 16.0 * kVectors;
  float copy = median_us([=] { copy_all<<<blocks, kThreads>>>(in, out); }, flush, flush_bytes);
  float library = median_us(
      [=] { cudaMemcpyAsync(out, in, size_t(bytes), cudaMemcpyDeviceToDevice); }, flush, flush_bytes);
  float read = median_us([=] { read_all<<<blocks, kThreads>>>(in, scalar); }, flush, flush_bytes);
  float write = median_us([=] { write_all<<<blocks, kThreads>>>(out); }, flush, flush_bytes);
  int grid = 132 * 64;
  float fma = median_us([=] { multiply_add<<<grid, kThreads>>>(scalar); }, flush, flush_bytes);
  check(cudaDeviceSynchronize(), "run");
  std::printf("{\"copy_gbps\": %.1f, \"memcpy_gbps\": %.1f, \"read_gbps\": %.1f, \"write_gbps\": %.1f, "
              "\"fp32_tflops\": %.2f}\n",
              2 * bytes / copy / 1e3, 2 * bytes / library / 1e3, bytes / read / 1e3,
              bytes / write / 1e3, 2.0 * grid * kThreads * 4096 * 8 / fma / 1e6);
  return 0;
}
