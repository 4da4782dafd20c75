// SPDX-License-Identifier: Apache-2.0
#include "waiting_threads.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

namespace clr {

void shorten_spinning(char** argv) {
  constexpr const char* kVariable = "GOMP_SPINCOUNT";
  // Begun anew its name would be that of the link.
  ::prctl(PR_SET_NAME, "clr");
  if (std::getenv(kVariable) != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (::setenv(kVariable, "10000", 1) != 0) return;
  ::execv("/proc/self/exe", argv);
  // Without /proc it goes on as it is, only slower beside others.
}

}  // namespace clr
