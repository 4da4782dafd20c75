// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "clr/data/dataset.h"

namespace clr {

/// Records by index, kept for good once stored. Thread-safe without locks.
class RecordCache {
 public:
  /// Room for indices [0, count); stores no more than `most_bytes` of encoded bytes or pixels.
  RecordCache(std::int64_t count, std::int64_t most_bytes);
  ~RecordCache();
  RecordCache(const RecordCache&) = delete;
  RecordCache& operator=(const RecordCache&) = delete;

  /// The stored record, or null.
  const Record* find(std::int64_t index) const {
    return records_[static_cast<std::size_t>(index)].load(std::memory_order_acquire);
  }

  /// Stores a copy unless there is one already or it does not fit.
  void store(std::int64_t index, const Image& image);
  void store(std::int64_t index, const std::vector<std::uint8_t>& encoded);

 private:
  template <class T>
  void store_copy(std::int64_t index, const T& value, std::size_t size);

  std::vector<std::atomic<const Record*>> records_;
  std::atomic<std::int64_t> bytes_left_;
};

/// What data.cache comes to for a set.
struct CachePlan {
  CacheMode mode = CacheMode::none;  ///< none, encoded or decoded
  std::int64_t most_bytes = 0;       ///< data.cache_memory of the memory
  double expected_bytes = 0.0;  ///< of the whole set in that mode, from a sample of its records

  /// What the cache will hold when every image has been read.
  double held_bytes() const;
};

/// Reads a sample of the set, for a loader that brings each image `passes` times. auto is the first of decoded and encoded whose records all fit, else
/// none; a mode that is asked for by name keeps what fits. Sets whose records are pixels already
/// need no cache, nor does auto for one pass: none.
CachePlan plan_cache(const Dataset& dataset, const DataConfig& config, std::int64_t passes);

}  // namespace clr
