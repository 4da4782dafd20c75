// SPDX-License-Identifier: Apache-2.0
#include "clr/core/stop.h"

#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>

namespace clr {
namespace {

/// One wish to stop may come several times: from the terminal and from a launcher that passes it on.
constexpr std::int64_t kOneWish = 2;

std::atomic<std::int64_t> g_stop{0};  ///< seconds of the first signal; 0: none

std::int64_t now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1;
}

void on_signal(int number) {
  std::int64_t first = 0;
  if (g_stop.compare_exchange_strong(first, now())) return;
  if (now() - first >= kOneWish) _exit(128 + number);
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
