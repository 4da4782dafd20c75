// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "clr/core/rng.h"
#include "clr/data/batch_buffer.h"
#include "clr/data/dataset.h"
#include "clr/data/epoch_order.h"
#include "clr/data/loader.h"
#include "clr/data/loader_times.h"

namespace clr {

/// Makes rows of a batch: the views of one item each. Const and thread-safe.
///
/// Which item a row shows, and what becomes of one that cannot be read, is the same for all kinds of
/// data; how its views are made is not.
class RowMaker {
 public:
  virtual ~RowMaker() = default;

  /// How a batch's views lie in memory.
  virtual std::vector<GroupLayout> layout() const = 0;

  /// Fills `row` of `buffer` with the item at `position` of the epoch's order. Reports all failures
  /// in the row's result.
  void make(std::int64_t epoch, std::int64_t position, BatchBuffer& buffer, std::int64_t row) const;

  std::int64_t size() const { return dataset_->size(); }
  LoaderTimes times() const { return clock_.times(); }

 protected:
  RowMaker(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options);

  /// Writes the views of `index`, drawn at `draws`. Throws Error{data} "LOCATION: reason".
  virtual void render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
                      std::int64_t row) const = 0;

  const Dataset& dataset() const { return *dataset_; }
  const LoaderOptions& options() const { return options_; }
  LoaderClock& clock() const { return clock_; }

 private:
  std::int64_t index_at(std::int64_t epoch, std::int64_t position) const;
  std::shared_ptr<const EpochOrder> windowed_order(std::int64_t epoch) const;
  void replace(RngAddress draws, BatchBuffer& buffer, std::int64_t row) const;

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  mutable LoaderClock clock_;

  // data.shuffle_shards: the orders of the epochs that rows were last made of.
  std::vector<std::int64_t> shard_ends_;
  mutable std::mutex orders_mutex_;
  mutable std::map<std::int64_t, std::shared_ptr<const EpochOrder>> orders_;
};

}  // namespace clr
