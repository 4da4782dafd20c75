// SPDX-License-Identifier: Apache-2.0
// Tests that need a CUDA device. Without one nothing is tested, and nothing is said to have passed.
#include <cstdio>

#include "clr/core/device.h"
#include "clr/core/error.h"

#define CATCH_CONFIG_RUNNER
#include "support/catch.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  try {
    clr::resolve_device("cuda");
  } catch (const clr::Error& error) {
    std::fprintf(stderr, "skipped: %s\n", error.what());
    return kSkipped;
  }
  Catch::Session session;
  if (session.applyCommandLine(argc, argv) != 0) return 1;
  session.configData().warnings = static_cast<Catch::WarnAbout::What>(
      session.configData().warnings | Catch::WarnAbout::NoTests | Catch::WarnAbout::NoAssertions);
  // The number of failures would be the exit status, and 77 of them would look like a skip.
  return session.run() == 0 ? 0 : 1;
}
