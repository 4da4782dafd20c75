// SPDX-License-Identifier: Apache-2.0
#include "clr/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace clr {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{100};

/// What the threads share.
struct Work {
  std::int64_t count = 0;
  const std::function<void(std::int64_t)>& call;
  std::atomic<std::int64_t> ticket{0};
  std::atomic<std::int64_t> done{0};
  std::mutex mutex{};
  std::condition_variable changed{};
  int running = 0;
  std::int64_t failed_at = 0;
  std::exception_ptr failure{};

  void run() {
    while (true) {
      const std::int64_t i = ticket.fetch_add(1);
      if (i >= count) break;
      try {
        call(i);
        done.fetch_add(1);
      } catch (...) {
        ticket.store(count);
        const std::lock_guard lock(mutex);
        if (!failure || i < failed_at) {
          failed_at = i;
          failure = std::current_exception();
        }
      }
    }
    const std::lock_guard lock(mutex);
    --running;
    changed.notify_one();
  }
};

}  // namespace

void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work,
                  const std::function<void(std::int64_t)>& watch) {
  Work shared{count, work};
  shared.running = static_cast<int>(std::clamp<std::int64_t>(count, 1, std::max(1, threads)));
  std::vector<std::thread> pool;
  for (int i = shared.running; i > 0; --i) pool.emplace_back(&Work::run, &shared);
  {
    std::unique_lock lock(shared.mutex);
    while (!shared.changed.wait_for(lock, kWatchInterval, [&] { return shared.running == 0; })) {
      if (watch) watch(shared.done);
    }
  }
  for (std::thread& thread : pool) thread.join();
  if (shared.failure) std::rethrow_exception(shared.failure);
  if (watch) watch(shared.done);
}

}  // namespace clr
