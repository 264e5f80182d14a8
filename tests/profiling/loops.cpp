#include <cmath>
#include <cstddef>
void scale(const float* x, float* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = 2.f * x[i];  // vectorises
}
void walk(float* x, std::size_t n) {
  for (std::size_t i = 1; i < n; ++i) x[i] = x[i - 1] * 0.5f + x[i];  // depend on each other
}
void each(float* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] = std::exp(x[i]);  // calls a function
}
int find(const float* x, int n) {
  for (int i = 0; i < n; ++i) if (x[i] > 3.f) return i;  // branches inside
  return -1;
}
