// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "clr/core/batch.h"

namespace clr {

/// What became of one row of a batch.
struct RowResult {
  std::int64_t index = -1;  ///< of the image really used
  std::int64_t label = -1;
  bool dropped = false;
  std::optional<BadImage> bad;  ///< the image that was asked for, if it could not be read
  std::exception_ptr error;     ///< ends the stream
};

/// How views of one shape lie in a batch.
struct GroupLayout {
  std::vector<int> views;           ///< their numbers, in order
  std::vector<std::int64_t> shape;  ///< of a row as its readers see it: [3, H, W], or [L]
  torch::ScalarType type = torch::kFloat;
  bool channels_last = false;  ///< a row's memory is [H, W, 3]
};

/// Memory of batches that nobody holds any more, for use again: fresh memory costs a page fault
/// every 4 KiB. For one thread.
class StoragePool {
 public:
  /// Remembers up to `capacity` tensors.
  StoragePool(bool pinned, std::size_t capacity) : pinned_(pinned), capacity_(capacity) {}

  /// A flat tensor of `count` values, whatever they are.
  torch::Tensor take(std::int64_t count, torch::ScalarType type);

 private:
  bool pinned_;
  std::size_t capacity_;
  std::vector<torch::Tensor> known_;
};

/// The memory of one batch, which threads fill row by row without locks.
///
/// Made, finished and reset by one thread; between that, memory() and row() may be used by any, for
/// different rows.
class BatchBuffer {
 public:
  explicit BatchBuffer(const std::vector<GroupLayout>& groups);

  /// Gets ready for `rows` rows, in memory for `capacity` of them.
  void reset(std::int64_t rows, std::int64_t capacity, StoragePool& pool);

  std::int64_t rows() const { return static_cast<std::int64_t>(results_.size()); }

  /// Where `view` of `row` goes.
  std::byte* memory(int view, std::int64_t row) const;

  RowResult& row(std::int64_t row) { return results_[static_cast<std::size_t>(row)]; }

  /// The batch, dropped rows closed up; the memory is its own from now on. Throws the error of the
  /// lowest row that has one.
  Batch finish(std::int64_t epoch, std::int64_t step);

 private:
  struct Group {
    GroupLayout layout;
    std::int64_t row_values = 0;
    torch::Tensor storage;  ///< flat; rows of view v follow those of view v - 1
    std::byte* bytes = nullptr;
    std::size_t row_bytes = 0;
  };
  struct Place {
    std::size_t group = 0;
    std::int64_t position = 0;  ///< among the views of its group
  };

  void close_up(Group& group) const;
  static torch::Tensor shaped(const Group& group, std::int64_t rows);

  std::vector<Group> groups_;
  std::vector<Place> places_;  ///< by view
  std::vector<RowResult> results_;
};

}  // namespace clr
