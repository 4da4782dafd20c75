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
#include "clr/core/row_share.h"
#include "clr/data/batch_buffer.h"
#include "clr/data/image_row_maker.h"
#include "clr/data/row_maker.h"
#include "clr/data/stream_plan.h"
#include "clr/data/text_row_maker.h"

namespace clr {
namespace {

/// A place in the ring of pieces that are being made.
struct Slot {
  explicit Slot(const std::vector<GroupLayout>& layout) : buffer(layout) {}

  BatchBuffer buffer;
  Piece piece;
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
  const auto at_least = [](std::int64_t least, const char* what, std::int64_t value) {
    if (value >= least) return;
    throw Error(ErrorKind::config,
                fmt::format("loader: {}: expected {} or more, got {}", what, least, value));
  };
  at_least(1, "batch_size", options.batch_size);
  at_least(0, "micro_batch", options.micro_batch);
  at_least(1, "passes", options.passes);
  at_least(1, "threads", options.threads);
  at_least(1, "prefetch", options.prefetch);
  at_least(0, "rank", options.rank);
  at_least(options.rank + 1, "world_size", options.world_size);
  return options;
}

class ThreadLoader final : public Loader {
 public:
  ThreadLoader(std::unique_ptr<const RowMaker> maker, const LoaderOptions& options)
      : options_(options),
        plan_(maker->size(), options.batch_size, options.drop_last, options.micro_batch,
              options.passes),
        maker_(std::move(maker)),
        layout_(maker_->layout()),
        pool_(options.pinned, layout_.size() * (static_cast<std::size_t>(options.prefetch) + 2)) {
    for (int i = 0; i < options_.prefetch; ++i) slots_.emplace_back(layout_);
  }
  ~ThreadLoader() override { stop(); }

  std::int64_t steps_per_epoch() const override { return plan_.steps_per_epoch(); }
  std::int64_t parts(std::int64_t step) const override { return plan_.parts(step); }
  void start(std::int64_t epoch, std::int64_t step) override;
  Batch next() override;
  Batch produce(std::int64_t epoch, std::int64_t step, std::int64_t first,
                std::int64_t count) override;
  LoaderTimes times() const override { return maker_->times(); }

 private:
  Slot& slot(std::int64_t piece) {
    return slots_[static_cast<std::size_t>(piece % static_cast<std::int64_t>(slots_.size()))];
  }
  RowShare share(std::int64_t rows) const {
    return row_share(rows, options_.rank, options_.world_size);
  }
  void open(std::int64_t piece);
  void stop();
  void work();
  bool wait_for(std::int64_t piece);

  LoaderOptions options_;
  StreamPlan plan_;
  std::unique_ptr<const RowMaker> maker_;
  std::vector<GroupLayout> layout_;
  StoragePool pool_;
  std::deque<Slot> slots_;

  // The stream, in the plan's numbers.
  std::int64_t end_ = 0;    ///< the piece after the last
  std::int64_t taken_ = 0;  ///< the piece that next() gives
  std::exception_ptr failure_;

  // What the threads share.
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable opened_changed_;
  std::condition_variable finished_changed_;
  std::atomic<std::int64_t> opened_{0};  ///< pieces below this number may be begun
  std::atomic<std::int64_t> ticket_{0};  ///< the next row to be made
  std::atomic<bool> stopping_{false};
};

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
  taken_ = plan_.first_piece(epoch, step);
  end_ = std::max(taken_, plan_.first_piece(options_.epochs, 0));
  if (taken_ == end_) return;
  ticket_ = plan_.first_row(epoch, step);
  for (std::int64_t i = taken_; i < std::min(end_, taken_ + options_.prefetch); ++i) open(i);
  const BlockSignals block;
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back(&ThreadLoader::work, this);
    // Names hold 15 letters.
    pthread_setname_np(threads_.back().native_handle(),
                       fmt::format("clr-load-{}", i % 1000).c_str());
  }
}

void ThreadLoader::open(std::int64_t piece) {
  Slot& target = slot(piece);
  target.piece = plan_.piece(piece);
  const std::int64_t most = options_.micro_batch > 0
                                ? std::min(options_.micro_batch, options_.batch_size)
                                : options_.batch_size;
  const std::int64_t rows = share(target.piece.rows).size();
  target.buffer.reset(rows, (most - 1) / options_.world_size + 1, pool_);
  target.missing = rows;
  {
    const std::lock_guard lock(mutex_);
    opened_ = piece + 1;
  }
  opened_changed_.notify_all();
}

/// False when the loader stops instead.
bool ThreadLoader::wait_for(std::int64_t piece) {
  if (opened_ <= piece) {
    std::unique_lock lock(mutex_);
    opened_changed_.wait(lock, [&] { return stopping_ || opened_ > piece; });
  }
  return !stopping_;
}

void ThreadLoader::work() {
  const std::int64_t end = plan_.first_row(options_.epochs, 0);
  while (true) {
    // Whoever holds a ticket holds its piece's slot too: it is not used again before the row is
    // done.
    const std::int64_t ticket = ticket_.fetch_add(1);
    if (ticket >= end) return;
    const auto [piece, row] = plan_.place(ticket);
    const RowShare own = share(plan_.piece(piece).rows);
    if (!own.has(row)) continue;
    if (!wait_for(piece)) return;
    Slot& current = slot(piece);
    maker_->make(current.piece.epoch, current.piece.first + row, current.buffer, row - own.begin);
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
    batch = current.buffer.finish(current.piece.epoch, current.piece.step);
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
      first + count > plan_.rows(step)) {
    throw std::out_of_range(
        fmt::format("loader: step {} has no rows [{}, {})", step, first, first + count));
  }
  BatchBuffer buffer(layout_);
  buffer.reset(count, count, pool_);
  for (std::int64_t row = 0; row < count; ++row) {
    maker_->make(epoch, step * options_.batch_size + first + row, buffer, row);
  }
  return buffer.finish(epoch, step);
}

}  // namespace

std::unique_ptr<Loader> make_thread_loader(std::shared_ptr<const Dataset> dataset,
                                           std::shared_ptr<const Augmenter> augmenter,
                                           const LoaderOptions& options) {
  const LoaderOptions good = checked(options);
  return std::make_unique<ThreadLoader>(
      std::make_unique<ImageRowMaker>(dataset, std::move(augmenter), good), good);
}

std::unique_ptr<Loader> make_thread_loader(std::shared_ptr<const TextDataset> texts,
                                           std::shared_ptr<const TextViews> views,
                                           const LoaderOptions& options) {
  const LoaderOptions good = checked(options);
  return std::make_unique<ThreadLoader>(
      std::make_unique<TextRowMaker>(std::move(texts), std::move(views), good), good);
}

}  // namespace clr
