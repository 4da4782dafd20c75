// SPDX-License-Identifier: Apache-2.0
#include "clr/data/loader.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "clr/core/error.h"
#include "clr/data/batch_buffer.h"
#include "clr/data/row_maker.h"

namespace clr {
namespace {

/// A batch of the stream: which rows of which epoch.
struct BatchPlan {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  std::int64_t first = 0;  ///< position in the epoch's order
  std::int64_t rows = 0;
};

/// A place in the ring of batches that are being made.
struct Slot {
  Slot(const Augmenter& augmenter, const LoaderOptions& options) : buffer(augmenter, options) {}

  BatchBuffer buffer;
  BatchPlan plan;
  std::atomic<std::int64_t> missing{0};  ///< rows that are not finished
};

/// New threads inherit the mask: signals are for the main thread.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockSignals(const BlockSignals&) = delete;
  BlockSignals& operator=(const BlockSignals&) = delete;

 private:
  sigset_t before_{};
};

LoaderOptions checked(const LoaderOptions& options) {
  const auto at_least_one = [](const char* what, std::int64_t value) {
    if (value >= 1) return;
    throw Error(ErrorKind::config,
                fmt::format("loader: {}: expected 1 or more, got {}", what, value));
  };
  at_least_one("batch_size", options.batch_size);
  at_least_one("threads", options.threads);
  at_least_one("prefetch", options.prefetch);
  return options;
}

class ThreadLoader final : public Loader {
 public:
  ThreadLoader(std::shared_ptr<const Dataset> dataset,
               const std::shared_ptr<const Augmenter>& augmenter, const LoaderOptions& options)
      : size_(dataset->size()),
        options_(checked(options)),
        augmenter_(augmenter),
        maker_(std::move(dataset), augmenter, options),
        pool_(options.pixel_type, options.pinned,
              augmenter->groups().size() * (static_cast<std::size_t>(options.prefetch) + 2)) {
    for (int i = 0; i < options_.prefetch; ++i) slots_.emplace_back(*augmenter_, options_);
  }
  ~ThreadLoader() override { stop(); }

  std::int64_t steps_per_epoch() const override {
    const std::int64_t extra = options_.drop_last ? 0 : options_.batch_size - 1;
    return (size_ + extra) / options_.batch_size;
  }

  void start(std::int64_t epoch, std::int64_t step) override;
  Batch next() override;
  Batch produce(std::int64_t epoch, std::int64_t step, std::int64_t first,
                std::int64_t count) override;

 private:
  std::int64_t rows_per_epoch() const {
    return options_.drop_last ? steps_per_epoch() * options_.batch_size : size_;
  }
  BatchPlan plan(std::int64_t epoch, std::int64_t step) const;
  Slot& slot(std::int64_t batch) {
    return slots_[static_cast<std::size_t>(batch % static_cast<std::int64_t>(slots_.size()))];
  }
  void open(std::int64_t batch);
  void stop();
  void work();
  bool wait_for(std::int64_t batch);

  std::int64_t size_;
  LoaderOptions options_;
  std::shared_ptr<const Augmenter> augmenter_;
  RowMaker maker_;
  StoragePool pool_;
  std::deque<Slot> slots_;

  // The stream. A batch's number counts steps over epochs.
  std::int64_t end_ = 0;    ///< number of the batch after the last
  std::int64_t taken_ = 0;  ///< number of the batch that next() gives
  std::exception_ptr failure_;

  // What the threads share.
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable opened_changed_;
  std::condition_variable finished_changed_;
  std::atomic<std::int64_t> opened_{0};  ///< batches below this number may be begun
  std::atomic<std::int64_t> ticket_{0};  ///< the next row to be made, counted over epochs
  std::atomic<bool> stopping_{false};
};

BatchPlan ThreadLoader::plan(std::int64_t epoch, std::int64_t step) const {
  const std::int64_t first = step * options_.batch_size;
  return {epoch, step, first, std::min(options_.batch_size, size_ - first)};
}

void ThreadLoader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  opened_changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadLoader::start(std::int64_t epoch, std::int64_t step) {
  stop();
  stopping_ = false;
  failure_ = nullptr;
  taken_ = epoch * steps_per_epoch() + step;
  end_ = std::max(taken_, options_.epochs * steps_per_epoch());
  if (taken_ == end_) return;
  ticket_ = epoch * rows_per_epoch() + step * options_.batch_size;
  for (std::int64_t i = taken_; i < std::min(end_, taken_ + options_.prefetch); ++i) open(i);
  const BlockSignals block;
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back(&ThreadLoader::work, this);
    // Names hold 15 letters.
    pthread_setname_np(threads_.back().native_handle(),
                       fmt::format("clr-load-{}", i % 1000).c_str());
  }
}

void ThreadLoader::open(std::int64_t batch) {
  Slot& target = slot(batch);
  target.plan = plan(batch / steps_per_epoch(), batch % steps_per_epoch());
  target.buffer.reset(target.plan.rows, options_.batch_size, pool_);
  target.missing = target.plan.rows;
  {
    const std::lock_guard lock(mutex_);
    opened_ = batch + 1;
  }
  opened_changed_.notify_all();
}

/// False when the loader stops instead.
bool ThreadLoader::wait_for(std::int64_t batch) {
  if (opened_ <= batch) {
    std::unique_lock lock(mutex_);
    opened_changed_.wait(lock, [&] { return stopping_ || opened_ > batch; });
  }
  return !stopping_;
}

void ThreadLoader::work() {
  const std::int64_t end = options_.epochs * rows_per_epoch();
  while (true) {
    // Whoever holds a ticket holds its batch's slot too: it is not used again before the row is
    // done.
    const std::int64_t ticket = ticket_.fetch_add(1);
    if (ticket >= end) return;
    const std::int64_t epoch = ticket / rows_per_epoch();
    const std::int64_t position = ticket % rows_per_epoch();
    const std::int64_t batch = epoch * steps_per_epoch() + position / options_.batch_size;
    if (!wait_for(batch)) return;
    Slot& current = slot(batch);
    maker_.make(epoch, position, current.buffer, position % options_.batch_size);
    if (current.missing.fetch_sub(1) == 1) {
      const std::lock_guard lock(mutex_);
      finished_changed_.notify_one();
    }
  }
}

Batch ThreadLoader::next() {
  if (failure_) std::rethrow_exception(failure_);
  if (taken_ == end_) return {};
  Slot& current = slot(taken_);
  if (current.missing > 0) {
    std::unique_lock lock(mutex_);
    finished_changed_.wait(lock, [&] { return current.missing == 0; });
  }
  Batch batch;
  try {
    batch = current.buffer.finish(current.plan.epoch, current.plan.step);
  } catch (...) {
    failure_ = std::current_exception();
    stop();
    throw;
  }
  const std::int64_t following = taken_++ + options_.prefetch;
  if (following < end_) open(following);
  return batch;
}

Batch ThreadLoader::produce(std::int64_t epoch, std::int64_t step, std::int64_t first,
                            std::int64_t count) {
  if (step < 0 || step >= steps_per_epoch() || first < 0 || count < 0 ||
      first + count > plan(epoch, step).rows) {
    throw std::out_of_range(
        fmt::format("loader: step {} has no rows [{}, {})", step, first, first + count));
  }
  BatchBuffer buffer(*augmenter_, options_);
  buffer.reset(count, count, pool_);
  for (std::int64_t row = 0; row < count; ++row) {
    maker_.make(epoch, step * options_.batch_size + first + row, buffer, row);
  }
  return buffer.finish(epoch, step);
}

}  // namespace

std::unique_ptr<Loader> make_thread_loader(std::shared_ptr<const Dataset> dataset,
                                           std::shared_ptr<const Augmenter> augmenter,
                                           const LoaderOptions& options) {
  return std::make_unique<ThreadLoader>(std::move(dataset), augmenter, options);
}

}  // namespace clr
