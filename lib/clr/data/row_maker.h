// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "clr/augment/augmenter.h"
#include "clr/data/batch_buffer.h"
#include "clr/data/dataset.h"
#include "clr/data/epoch_order.h"
#include "clr/data/loader.h"
#include "clr/data/loader_times.h"
#include "clr/data/record_cache.h"

namespace clr {

/// Makes one row of a batch: reads, decodes and renders the views of one image. Const, thread-safe
/// (but for its cache, which guards itself), and without Torch.
class RowMaker {
 public:
  RowMaker(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const Augmenter> augmenter,
           const LoaderOptions& options);

  /// Fills `row` of `buffer` with the image at `position` of the epoch's order. Reports all
  /// failures in the row's result.
  void make(std::int64_t epoch, std::int64_t position, BatchBuffer& buffer, std::int64_t row) const;

  LoaderTimes times() const { return clock_.times(); }

 private:
  std::int64_t index_at(std::int64_t epoch, std::int64_t position) const;
  std::shared_ptr<const EpochOrder> windowed_order(std::int64_t epoch) const;
  std::vector<ViewParameters> sample(RngAddress draws, Size size) const;
  /// Puts the image's place before the message of an error.
  template <class Work>
  void located(std::int64_t index, Work work) const;
  /// Throws Error{data} "LOCATION: reason".
  void render(std::int64_t index, RngAddress draws, BatchBuffer& buffer, std::int64_t row) const;
  void render(const PicturePart& image, const std::vector<ViewParameters>& parameters,
              BatchBuffer& buffer, std::int64_t row) const;
  void render_encoded(std::int64_t index, std::span<const std::uint8_t> bytes, RngAddress draws,
                      LoaderClock::Lap& lap, BatchBuffer& buffer, std::int64_t row) const;
  void replace(RngAddress draws, BatchBuffer& buffer, std::int64_t row) const;

  std::shared_ptr<const Dataset> dataset_;
  std::shared_ptr<const Augmenter> augmenter_;
  LoaderOptions options_;
  CacheMode cache_mode_ = CacheMode::none;
  std::unique_ptr<RecordCache> cache_;
  /// Images that were decoded whole once: of these a part will do. Damage is looked for in the
  /// whole of every image before, so that what is bad depends on no crop, and on no resume.
  mutable std::vector<std::atomic<bool>> known_good_;
  mutable LoaderClock clock_;

  // data.shuffle_shards: the orders of the epochs that rows were last made of.
  std::vector<std::int64_t> shard_ends_;
  mutable std::mutex orders_mutex_;
  mutable std::map<std::int64_t, std::shared_ptr<const EpochOrder>> orders_;
};

}  // namespace clr
