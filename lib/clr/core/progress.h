// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace clr {

/// Progress of long work on standard error: a bar with ETA on a terminal, one plain line every few
/// seconds otherwise, nothing with --quiet.
class Progress {
 public:
  /// `done`: work done before this process started (a resumed run), left out of the ETA's rate.
  Progress(std::string title, std::int64_t total, std::int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows that `done` of the total is done; `note` stands behind the bar ("loss 5.11  612
  /// images/s").
  void update(std::int64_t done, const std::string& note = "");

  /// Removes the bar (a last plain line elsewhere); called by the destructor too.
  void finish();

  /// Seconds still needed at the rate so far; 0 while unknown.
  double eta() const;

 private:
  using Clock = std::chrono::steady_clock;
  void show();

  std::string title_;
  std::int64_t total_;
  std::int64_t first_;
  std::int64_t done_;
  std::string note_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_{};
  bool terminal_;
  bool finished_ = false;
};

}  // namespace clr
