// Sixty-four kernels of a few microseconds, each waited for by the host before the next one starts.
// The timeline comes from events around each launch, so that no profiler stretches the gaps.
#include "../zoo.cuh"

#define TEXT_OF(name) #name
#define NAME_OF(macro) TEXT_OF(macro)

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
  if (argc > 1 && !std::strcmp(argv[1], "time")) {
    std::vector<cudaEvent_t> marks(2 * kLaunches);
    for (auto& mark : marks) check(cudaEventCreate(&mark), "event");
    call();
    for (int i = 0; i < kLaunches; ++i) {
      check(cudaEventRecord(marks[2 * i]), "record");
      KERNEL<<<unsigned(kCount / 256), 256>>>(i % 2 ? out : in, i % 2 ? in : out);
      check(cudaEventRecord(marks[2 * i + 1]), "record");
      check(cudaStreamSynchronize(nullptr), "synchronize");
    }
    std::printf("ROWS {\"calls\": 1, \"kernels\": [");
    for (int i = 0; i < kLaunches; ++i) {
      float start = 0, took = 0;
      check(cudaEventElapsedTime(&start, marks[0], marks[2 * i]), "elapsed");
      check(cudaEventElapsedTime(&took, marks[2 * i], marks[2 * i + 1]), "elapsed");
      std::printf("%s{\"name\": \"%s\", \"start_us\": %.3f, \"duration_us\": %.3f}", i ? ", " : "",
                  NAME_OF(KERNEL), start * 1e3f, took * 1e3f);
    }
    std::printf("]}\n");
  }
  double bytes = 4.0 * kCount;
  return run(argc, argv, {bytes, bytes, 2.0 * kCount * kLaunches}, call);
}
