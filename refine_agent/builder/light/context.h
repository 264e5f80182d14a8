// Owns at::globalContext(): the switches of torch's that candidates read and set. Leaves what a
// switch does to torch.
#pragma once
#include "errors.h"

namespace at {

enum class Float32MatmulPrecision { HIGHEST, HIGH, MEDIUM };

namespace ra {
inline bool asked(const char* what) {
  int out = 0;
  c10::ra::check(ra_context(what, -1, &out));
  return out != 0;
}
inline void switched(const char* what, bool on) { c10::ra::check(ra_context(what, on, nullptr)); }
}  // namespace ra

class Context {
 public:
#define RA_SWITCH(get, set)                    \
  bool get() const { return ra::asked(#get); } \
  void set(bool on) { ra::switched(#get, on); }
  RA_CONTEXT_SWITCHES(RA_SWITCH)
#undef RA_SWITCH
#define RA_SET_ONLY(set) \
  void set(bool on) { ra::switched(#set, on); }
  RA_CONTEXT_SET_ONLY(RA_SET_ONLY)
#undef RA_SET_ONLY
#define RA_ASKED(name) \
  static bool name() { return ra::asked(#name); }
  RA_CONTEXT_ASKED(RA_ASKED)
#undef RA_ASKED
  void setDeterministicAlgorithms(bool on, bool warn_only) {
    c10::ra::check(ra_deterministic(on, warn_only));
  }
  void setFloat32MatmulPrecision(const std::string& name) {
    int32_t ignored;
    c10::ra::check(ra_matmul_precision(name.c_str(), &ignored));
  }
  Float32MatmulPrecision float32MatmulPrecision() const {
    int32_t out;
    c10::ra::check(ra_matmul_precision(nullptr, &out));
    return static_cast<Float32MatmulPrecision>(out);
  }
};
inline Context& globalContext() {
  static Context only;
  return only;
}
inline bool hasCUDA() { return Context::hasCUDA(); }

}  // namespace at
