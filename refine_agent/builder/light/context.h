// Owns at::globalContext(): the switches of torch's that candidates read and set. Leaves what a
// switch does to torch.
#pragma once
#include "errors.h"

namespace at {

class Context {
 public:
#define RA_SWITCH(get, set)                              \
  bool get() const { return ra_context(#get, -1) != 0; } \
  void set(bool on) { ra_context(#get, on); }
  RA_CONTEXT_SWITCHES(RA_SWITCH)
#undef RA_SWITCH
#define RA_ASKED(name) \
  static bool name() { return ra_context(#name, -1) != 0; }
  RA_CONTEXT_ASKED(RA_ASKED)
#undef RA_ASKED
};
inline Context& globalContext() {
  static Context only;
  return only;
}
inline bool hasCUDA() { return Context::hasCUDA(); }

}  // namespace at
