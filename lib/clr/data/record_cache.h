// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "clr/core/image.h"
#include "clr/data/dataset.h"

namespace clr {

/// Decoded images by index, kept for good once stored. Thread-safe without locks.
class ImageCache {
 public:
  /// Room for indices [0, count); stores no more than `most_bytes` of pixels.
  ImageCache(std::int64_t count, std::int64_t most_bytes);
  ~ImageCache();
  ImageCache(const ImageCache&) = delete;
  ImageCache& operator=(const ImageCache&) = delete;

  /// The stored image, or null.
  const Image* find(std::int64_t index) const {
    return images_[static_cast<std::size_t>(index)].load(std::memory_order_acquire);
  }

  /// Stores a copy unless there is one already or it does not fit.
  void store(std::int64_t index, const Image& image);

 private:
  std::vector<std::atomic<const Image*>> images_;
  std::atomic<std::int64_t> bytes_left_;
};

/// How many bytes of decoded pixels data.cache allows to keep: all, none, or, when automatic and a
/// sample of the headers says that the whole set fits there, a quarter of the physical memory.
///
/// Sets whose records are pixels already need no cache: 0.
std::int64_t cache_budget(const Dataset& dataset, const DataConfig& config);

}  // namespace clr
