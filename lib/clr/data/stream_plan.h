// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

namespace clr {

/// Parts that a batch is cut into: as few as hold at most `micro_batch` rows each (0: no limit).
/// They are equal but for a row, so the smallest holds rows / micro_batches() of them.
constexpr std::int64_t micro_batches(std::int64_t rows, std::int64_t micro_batch) {
  return micro_batch == 0 ? 1 : (rows + micro_batch - 1) / micro_batch;
}

/// What a loader gives at once: a batch, or a part of one.
struct Piece {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  std::int64_t first = 0;  ///< position in the epoch's order
  std::int64_t rows = 0;
};

/// The order of a loader's stream, as arithmetic: epoch by epoch, batch by batch; each batch
/// `passes` times over, each time part by part. Pieces and rows are numbered from the stream's
/// beginning.
class StreamPlan {
 public:
  StreamPlan(std::int64_t size, std::int64_t batch_size, bool drop_last, std::int64_t micro_batch,
             std::int64_t passes)
      : size_(size),
        batch_size_(batch_size),
        micro_batch_(micro_batch),
        passes_(passes),
        steps_((size + (drop_last ? 0 : batch_size - 1)) / batch_size) {}

  std::int64_t steps_per_epoch() const { return steps_; }

  /// Rows of a step's batch.
  std::int64_t rows(std::int64_t step) const {
    return std::min(batch_size_, size_ - step * batch_size_);
  }

  /// Parts of a step's batch.
  std::int64_t parts(std::int64_t step) const { return micro_batches(rows(step), micro_batch_); }

  /// Number of the first piece of a step.
  std::int64_t first_piece(std::int64_t epoch, std::int64_t step) const {
    return epoch * until(steps_, &StreamPlan::parts) + until(step, &StreamPlan::parts);
  }

  /// Number of the first row of a step.
  std::int64_t first_row(std::int64_t epoch, std::int64_t step) const {
    return epoch * until(steps_, &StreamPlan::rows) + until(step, &StreamPlan::rows);
  }

  Piece piece(std::int64_t number) const {
    const auto [epoch, step, rest] = locate(number, &StreamPlan::parts);
    const std::int64_t part = rest % parts(step);
    const std::int64_t begin = part * rows(step) / parts(step);
    const std::int64_t end = (part + 1) * rows(step) / parts(step);
    return {epoch, step, step * batch_size_ + begin, end - begin};
  }

  /// The piece that a row is in, and its place there.
  struct Place {
    std::int64_t piece = 0;
    std::int64_t row = 0;
  };
  Place place(std::int64_t row_number) const {
    const auto [epoch, step, rest] = locate(row_number, &StreamPlan::rows);
    const std::int64_t pass = rest / rows(step);
    const std::int64_t row = rest % rows(step);
    // The last part that begins at or before the row.
    const std::int64_t part = ((row + 1) * parts(step) - 1) / rows(step);
    return {first_piece(epoch, step) + pass * parts(step) + part,
            row - part * rows(step) / parts(step)};
  }

 private:
  using Count = std::int64_t (StreamPlan::*)(std::int64_t step) const;

  /// What the steps before `step` have of something, over all passes. All but the last are alike.
  std::int64_t until(std::int64_t step, Count count) const {
    if (step == 0) return 0;
    return passes_ * ((step - 1) * (this->*count)(0) + (this->*count)(step - 1));
  }

  struct Located {
    std::int64_t epoch;
    std::int64_t step;
    std::int64_t rest;  ///< number within the step, over its passes
  };
  Located locate(std::int64_t number, Count count) const {
    const std::int64_t in_epoch = number % until(steps_, count);
    const std::int64_t step = in_epoch / (passes_ * (this->*count)(0));
    return {number / until(steps_, count), step, in_epoch - until(step, count)};
  }

  std::int64_t size_;
  std::int64_t batch_size_;
  std::int64_t micro_batch_;
  std::int64_t passes_;
  std::int64_t steps_;
};

}  // namespace clr
