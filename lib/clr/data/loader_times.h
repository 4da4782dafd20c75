// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace clr {

/// What a loader's threads did so far, summed over them: wall-clock seconds, waiting for the disk
/// included.
struct LoaderTimes {
  std::int64_t images = 0;
  double read = 0.0;
  double decode = 0.0;
  double augment = 0.0;  ///< drawing parameters and rendering all views

  LoaderTimes operator-(const LoaderTimes& other) const {
    return {images - other.images, read - other.read, decode - other.decode,
            augment - other.augment};
  }
};

/// Adds up LoaderTimes from many threads.
class LoaderClock {
 public:
  using Clock = std::chrono::steady_clock;

  /// Times stages that follow each other on one thread.
  class Lap {
   public:
    explicit Lap(LoaderClock& clock) : clock_(clock) {}
    void read() { add(clock_.read_); }
    void decode() { add(clock_.decode_); }
    void augment() { add(clock_.augment_); }
    void image() { clock_.images_.fetch_add(1, std::memory_order_relaxed); }

   private:
    void add(std::atomic<std::int64_t>& sum) {
      const auto now = Clock::now();
      sum.fetch_add(std::chrono::nanoseconds(now - last_).count(), std::memory_order_relaxed);
      last_ = now;
    }

    LoaderClock& clock_;
    Clock::time_point last_ = Clock::now();
  };

  LoaderTimes times() const {
    const auto seconds = [](const std::atomic<std::int64_t>& sum) {
      return 1e-9 * static_cast<double>(sum.load(std::memory_order_relaxed));
    };
    return {images_.load(std::memory_order_relaxed), seconds(read_), seconds(decode_),
            seconds(augment_)};
  }

 private:
  std::atomic<std::int64_t> images_{0};
  std::atomic<std::int64_t> read_{0};
  std::atomic<std::int64_t> decode_{0};
  std::atomic<std::int64_t> augment_{0};
};

}  // namespace clr
