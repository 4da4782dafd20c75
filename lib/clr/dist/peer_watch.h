// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "clr/dist/rendezvous.h"

namespace clr {

/// Why a run of several processes ends before its time, the same for all of them.
struct Ending {
  int rank = 0;  ///< whose fault it is; -1: of the store
  int code = 0;  ///< exit code for all
  std::string text;
};

/// How long a process may be silent.
struct WatchLimits {
  std::chrono::milliseconds period{500};
  std::chrono::seconds silence{15};  ///< no sign of life: the process is gone or stopped
  std::chrono::seconds stall{600};   ///< alive but without progress: it hangs
};

/// Threads that show the others that this process lives and gets on, and look whether they do.
///
/// Every process writes a sign of life into the store and looks at its successor's; whoever sees
/// one missing says so there, once for all. When the run has ended for one, every other one's main
/// thread is told where it next waits; if it does not come there in time, the process is ended. The
/// store's connections know no time-out, so a second thread looks whether it answers. So no process
/// hangs because of another, or of the network, wherever it is.
class PeerWatch {
 public:
  PeerWatch(const Meeting& meeting, int rank, WatchLimits limits);
  ~PeerWatch();
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  /// The main thread got on.
  void progress() noexcept { ++progress_; }

  /// It waits for others, which is no hanging of its own. Returns what was set before.
  bool set_waiting(bool waiting) noexcept { return waiting_.exchange(waiting); }

  /// Tells the others, unless they know of an ending already; returns the one that counts.
  Ending end(Ending ending);

  /// The ending, once there is one.
  std::optional<Ending> ending() const;

  /// A collective failed: who is gone? Takes some periods to tell the dead from the living.
  Ending find_lost(const std::string& symptom);

  /// Leaves in order: nobody is to miss this process. Rank 0, which may hold the store, waits at
  /// most so long until all have left, who may still have something to read there.
  void leave(std::chrono::seconds patience);

 private:
  using Clock = std::chrono::steady_clock;

  struct Beat {
    std::string text;  ///< what the store said
    Clock::time_point seen;
    std::string progress;
    Clock::time_point progressed;
  };

  /// Who is talking to the store.
  enum Speaker { main_thread, watching_thread };
  /// Does something with the store that is to answer within `silence`.
  template <typename Step>
  auto talk(Speaker who, Step step);
  bool store_hangs() const;

  Ending end(Ending ending, Speaker who);
  void run();
  void guard();
  void look();
  void look_at(int rank, Beat& last);
  void beat();
  std::string name_of(int rank) const;
  std::optional<Ending> read_ending();
  void remember(const Ending& ending);

  Meeting meeting_;
  int rank_;
  WatchLimits limits_;
  c10::intrusive_ptr<c10d::Store> own_;  ///< a connection of the thread's own
  std::atomic<std::int64_t> progress_{0};
  std::atomic<bool> waiting_{false};
  std::int64_t beats_ = 0;
  Beat successor_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool leaving_ = false;  ///< the main thread has come
  bool left_ = false;     ///< nothing is said any more
  std::optional<Ending> ending_;
  std::array<std::atomic<Clock::rep>, 2> talking_since_{};  ///< 0: silent
  /// The store does not answer. A thread may wait for it for good: the program can end by _exit()
  /// alone.
  std::atomic<bool> cut_off_{false};
  std::thread thread_;
  std::thread guard_;
};

}  // namespace clr
