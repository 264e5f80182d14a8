// Owns at::parallel_for and at::parallel_reduce: like torch's, header-only, and parallel only where
// the candidate asked for OpenMP. Leaves the number of threads to torch.
#pragma once
#include "tensor.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace at {

inline int64_t divup(int64_t x, int64_t y) { return (x + y - 1) / y; }
inline int get_num_threads() { return static_cast<int>(ra_num_threads()); }
inline void set_num_threads(int n) { ra_set_num_threads(n); }
inline bool in_parallel_region() { return ra_in_parallel_region() != 0; }
inline int get_thread_num() { return static_cast<int>(ra_thread_num()); }
inline void init_num_threads() { ra_init_num_threads(); }
namespace internal {
constexpr int64_t GRAIN_SIZE = 32768;
struct ThreadIdGuard {
  explicit ThreadIdGuard(int id) : before_(get_thread_num()) { ra_set_thread_num(id); }
  ~ThreadIdGuard() { ra_set_thread_num(before_); }
  int before_;
};
#ifdef _OPENMP
template <class F>
void invoke_parallel(int64_t begin, int64_t end, int64_t grain_size, const F& f) {
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error;
#pragma omp parallel
  {
    int64_t threads = omp_get_num_threads();
    if (grain_size > 0) threads = std::min(threads, divup(end - begin, grain_size));
    const int64_t id = omp_get_thread_num();
    const int64_t chunk = divup(end - begin, threads);
    const int64_t first = begin + id * chunk;
    if (first < end) {
      try {
        ThreadIdGuard guard(static_cast<int>(id));
        f(first, std::min(end, chunk + first));
      } catch (...) {
        if (!failed.test_and_set()) error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}
#endif
}  // namespace internal

template <class F>
void parallel_for(const int64_t begin, const int64_t end, const int64_t grain_size, const F& f) {
  if (begin >= end) return;
#ifdef _OPENMP
  ra_init_num_threads();
  const int64_t work = end - begin;
  if (work > grain_size && work > 1 && !in_parallel_region() && get_num_threads() > 1) {
    internal::invoke_parallel(begin, end, grain_size,
                              [&](int64_t first, int64_t last) { f(first, last); });
    return;
  }
#else
  (void)grain_size;
#endif
  internal::ThreadIdGuard guard(0);
  f(begin, end);
}

template <class T, class F, class S>
T parallel_reduce(const int64_t begin, const int64_t end, const int64_t grain_size,
                  const T identity, const F& f, const S& combine) {
  if (begin >= end) return identity;
#ifdef _OPENMP
  ra_init_num_threads();
  const auto threads = get_num_threads();
  if ((end - begin) > grain_size && !in_parallel_region() && threads > 1) {
    std::vector<T> results(static_cast<size_t>(threads), identity);
    internal::invoke_parallel(begin, end, grain_size, [&](int64_t first, int64_t last) {
      auto& own = results[static_cast<size_t>(get_thread_num())];
      own = f(first, last, own);
    });
    T out = identity;
    for (auto& r : results) out = combine(out, r);
    return out;
  }
#else
  (void)grain_size;
  (void)combine;
#endif
  internal::ThreadIdGuard guard(0);
  return f(begin, end, identity);
}

}  // namespace at
