// One field of a 32-byte struct: lanes lie 32 bytes apart, every sector is fetched for 4 bytes.
#include "../zoo.cuh"

struct Particle {
  float x, y, z, mass, charge, vx, vy, vz;
};
constexpr size_t kCount = kVariant ? 9u << 20 : 12u << 20;

__global__ void KERNEL(const Particle* particles, float* out) {
  size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x;
  float mass = particles[i].mass;  // SICK: uncoalesced_load
  out[i] = 2.0f * mass;
}

int main(int argc, char** argv) {
  auto* particles = reinterpret_cast<Particle*>(filled(kCount * sizeof(Particle) / 4));
  float* out = filled(kCount);
  // Needed are the masses alone: a struct of arrays would read no more.
  return run(argc, argv, {4.0 * kCount, 4.0 * kCount, 1.0 * kCount},
             [=] { KERNEL<<<unsigned(kCount / 256), 256>>>(particles, out); });
}
