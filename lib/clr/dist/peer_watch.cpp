// SPDX-License-Identifier: Apache-2.0
#include "clr/dist/peer_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <utility>

#include "clr/config/json.h"
#include "clr/core/error.h"
#include "clr/core/log.h"

namespace clr {
namespace {

/// How long the main thread may take to come to where it is told.
constexpr std::chrono::seconds kGrace{4};

/// What a run ends with whose process is lost: it can be resumed.
constexpr int kLost = static_cast<int>(ErrorKind::stopped);

constexpr const char* kEnding = "ending";

std::string beat_key(int rank) { return fmt::format("beat/{}", rank); }
std::string left_key(int rank) { return fmt::format("left/{}", rank); }

std::string to_text(const Ending& ending) {
  return Json{{"rank", ending.rank}, {"code", ending.code}, {"text", ending.text}}.dump(
      -1, ' ', false, Json::error_handler_t::replace);
}

Ending ending_from(const std::string& text) {
  const Json json = Json::parse(text);
  return {json.at("rank"), json.at("code"), json.at("text")};
}

/// `holder` of the store is gone, and with it the way to say more.
Ending store_lost(const std::string& holder) {
  return {-1, kLost, holder + ": its store cannot be reached any more: it ended or was killed"};
}

Ending store_silent(const std::string& holder, std::chrono::seconds silence) {
  return {-1, kLost,
          fmt::format("{}: its store did not answer for {} s: its machine is gone or cannot be "
                      "reached",
                      holder, silence.count())};
}

[[noreturn]] void end_process(int rank, const Ending& ending) {
  std::fprintf(stderr, "clr: rank %d: error: %s\n", rank, ending.text.c_str());
  _exit(ending.code);
}

}  // namespace

template <typename Step>
auto PeerWatch::talk(Speaker who, Step step) {
  struct Mark {
    std::atomic<Clock::rep>& since;
    ~Mark() { since = 0; }
  };
  const Mark mark{talking_since_[who]};
  mark.since = Clock::now().time_since_epoch().count();
  return step();
}

bool PeerWatch::store_hangs() const {
  const auto now = Clock::now().time_since_epoch().count();
  const auto limit = std::chrono::duration_cast<Clock::duration>(limits_.silence).count();
  return std::any_of(talking_since_.begin(), talking_since_.end(), [&](const auto& since) {
    const Clock::rep start = since;
    return start != 0 && now - start > limit;
  });
}

PeerWatch::PeerWatch(const Meeting& meeting, int rank, WatchLimits limits)
    : meeting_(meeting), rank_(rank), limits_(limits), own_(meeting.watch_store) {
  meeting_.store->setTimeout(limits_.silence);
  own_->setTimeout(limits_.silence);
  successor_.seen = successor_.progressed = Clock::now();
  talk(main_thread, [this] { beat(); });
  // Signals are for the main thread.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread(&PeerWatch::run, this);
  guard_ = std::thread(&PeerWatch::guard, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), "clr-peers");
  pthread_setname_np(guard_.native_handle(), "clr-guard");
}

PeerWatch::~PeerWatch() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = left_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (guard_.joinable()) guard_.join();
}

std::string PeerWatch::name_of(int rank) const {
  const Peer& peer = meeting_.peers.at(static_cast<std::size_t>(rank));
  return fmt::format("rank {} (process {} on {})", rank, peer.process, peer.host);
}

void PeerWatch::beat() {
  own_->set(beat_key(rank_),
            fmt::format("{} {} {}", ++beats_, waiting_ ? "waits" : "works", progress_.load()));
}

std::optional<Ending> PeerWatch::read_ending() {
  if (!own_->check({kEnding})) return std::nullopt;
  return ending_from(own_->get_to_str(kEnding));
}

void PeerWatch::remember(const Ending& ending) {
  {
    const std::lock_guard lock(mutex_);
    if (!ending_) ending_ = ending;
  }
  changed_.notify_all();
}

void PeerWatch::look_at(int rank, Beat& last) {
  if (own_->check({left_key(rank)})) return;
  const Clock::time_point now = Clock::now();
  const std::string text =
      own_->check({beat_key(rank)}) ? own_->get_to_str(beat_key(rank)) : std::string();
  if (text != last.text) {
    last.text = text;
    last.seen = now;
  }
  const std::string progress = text.substr(text.find(' ') + 1);
  if (progress != last.progress || progress.starts_with("waits")) {
    last.progress = progress;
    last.progressed = now;
  }
  if (now - last.seen > limits_.silence) {
    end({rank, kLost,
         fmt::format("{}: no sign of life for {} s: it was killed or stopped, or cannot be reached",
                     name_of(rank), limits_.silence.count())},
        watching_thread);
  } else if (now - last.progressed > limits_.stall) {
    end({rank, kLost,
         fmt::format("{}: no progress for {} s, though it lives; --stall-timeout sets how long",
                     name_of(rank), limits_.stall.count())},
        watching_thread);
  }
}

void PeerWatch::look() {
  beat();
  if (const auto ending = read_ending()) {
    remember(*ending);
    return;
  }
  look_at((rank_ + 1) % static_cast<int>(meeting_.peers.size()), successor_);
}

void PeerWatch::run() {
  std::unique_lock lock(mutex_);
  while (!leaving_ && !ending_) {
    lock.unlock();
    try {
      talk(watching_thread, [this] { look(); });
    } catch (const std::exception&) {
      remember(store_lost(meeting_.holder));
    }
    lock.lock();
    changed_.wait_for(lock, limits_.period, [this] { return leaving_; });
  }
}

void PeerWatch::guard() {
  std::optional<Clock::time_point> ended;
  std::unique_lock lock(mutex_);
  while (!left_) {
    if (store_hangs() && !cut_off_) {
      cut_off_ = true;
      if (!ending_) ending_ = store_silent(meeting_.holder, limits_.silence);
      // Main waits for the store itself, or for the thread that does.
      if (leaving_) end_process(rank_, *ending_);
    }
    if (ending_ && !leaving_) {
      if (!ended) ended = Clock::now();
      if (Clock::now() - *ended > kGrace) end_process(rank_, *ending_);
    }
    changed_.wait_for(lock, limits_.period, [this] { return left_; });
  }
}

std::optional<Ending> PeerWatch::ending() const {
  const std::lock_guard lock(mutex_);
  return ending_;
}

Ending PeerWatch::end(Ending ending) { return end(std::move(ending), main_thread); }

Ending PeerWatch::end(Ending ending, Speaker who) {
  try {
    // The first one counts.
    if (!cut_off_) {
      // The main thread may be waiting on its connection.
      c10d::Store& store = who == main_thread ? *meeting_.store : *own_;
      ending =
          talk(who, [&] { return ending_from(store.compareSet(kEnding, "", to_text(ending))); });
    }
  } catch (const std::exception&) {
    // The store is gone, and with it those who could be told.
  }
  remember(ending);
  return *this->ending();
}

Ending PeerWatch::find_lost(const std::string& symptom) {
  // A process that ends by an error of its own has said so before its connections broke.
  std::vector<int> silent;
  try {
    c10d::Store* const store = meeting_.store.get();
    const auto beats = [&] {
      std::vector<std::string> texts;
      for (std::size_t rank = 0; rank < meeting_.peers.size(); ++rank) {
        const std::string key = beat_key(static_cast<int>(rank));
        texts.push_back(store->check({key}) ? store->get_to_str(key) : "");
      }
      return texts;
    };
    const std::vector<std::string> before = talk(main_thread, beats);
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, 4 * limits_.period, [this] { return ending_.has_value(); });
    if (ending_) return *ending_;
    lock.unlock();
    talk(main_thread, [&] {
      const std::vector<std::string> after = beats();
      for (std::size_t rank = 0; rank < after.size(); ++rank) {
        if (after[rank] == before[rank] && !store->check({left_key(static_cast<int>(rank))}))
          silent.push_back(static_cast<int>(rank));
      }
    });
  } catch (const std::exception&) {
    return end(store_lost(meeting_.holder));
  }
  if (silent.empty()) {
    return end(
        {rank_, kLost,
         fmt::format("{}: exchange with the other processes failed: {}", name_of(rank_), symptom)});
  }
  std::vector<std::string> names;
  for (const int rank : silent) names.push_back(name_of(rank));
  return end(
      {silent.front(), kLost,
       fmt::format("{}: lost: it was killed, or its machine is gone", fmt::join(names, ", "))});
}

void PeerWatch::leave(std::chrono::seconds patience) {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  if (cut_off_) return;
  thread_.join();
  try {
    talk(main_thread, [this] { own_->set(left_key(rank_), "1"); });
    const Clock::time_point end = Clock::now() + patience;
    for (int rank = 1; rank_ == 0 && rank < static_cast<int>(meeting_.peers.size()); ++rank) {
      const auto has_left = [&] { return own_->check({left_key(rank)}); };
      while (!talk(main_thread, has_left) && Clock::now() < end)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  } catch (const std::exception&) {
    // Who comes no more has nothing to say either; the work is done.
  }
  {
    const std::lock_guard lock(mutex_);
    left_ = true;
  }
  changed_.notify_all();
  guard_.join();
}

}  // namespace clr
