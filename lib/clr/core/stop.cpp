// SPDX-License-Identifier: Apache-2.0
#include "clr/core/stop.h"

#include <unistd.h>
#include <csignal>

namespace clr {
namespace {

// The only thing that a handler may touch.
volatile std::sig_atomic_t g_stop = 0;

void on_signal(int number) {
  if (g_stop != 0) _exit(128 + number);
  g_stop = 1;
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() noexcept { return g_stop != 0; }

}  // namespace clr
