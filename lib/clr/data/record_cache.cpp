// SPDX-License-Identifier: Apache-2.0
#include "clr/data/image_cache.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <variant>

#include "clr/core/error.h"
#include "clr/core/memory.h"
#include "clr/data/decode.h"

namespace clr {

ImageCache::ImageCache(std::int64_t count, std::int64_t most_bytes)
    : images_(static_cast<std::size_t>(count)), bytes_left_(most_bytes) {}

ImageCache::~ImageCache() {
  for (auto& image : images_) std::unique_ptr<const Image>(image.load());
}

void ImageCache::store(std::int64_t index, const Image& image) {
  auto& place = images_[static_cast<std::size_t>(index)];
  if (place.load(std::memory_order_relaxed) != nullptr) return;
  const auto bytes = static_cast<std::int64_t>(image.pixels.size());
  if (bytes_left_.fetch_sub(bytes) < bytes) {
    bytes_left_.fetch_add(bytes);
    return;
  }
  auto copy = std::make_unique<const Image>(image);
  const Image* expected = nullptr;
  // Another thread may have stored the same image meanwhile.
  if (place.compare_exchange_strong(expected, copy.get(), std::memory_order_acq_rel)) {
    static_cast<void>(copy.release());
  } else {
    bytes_left_.fetch_add(bytes);
  }
}

std::int64_t cache_budget(const Dataset& dataset, const DataConfig& config) {
  constexpr std::int64_t kSample = 64;
  if (config.cache == CacheMode::none || dataset.size() == 0) return 0;
  const DecodeRequest request{config.exif == ExifMode::apply, config.max_pixels};
  const std::int64_t count = std::min(kSample, dataset.size());
  std::int64_t bytes = 0;
  std::int64_t readable = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      const Record record = dataset.get(i * dataset.size() / count);
      const auto* encoded = std::get_if<std::vector<std::uint8_t>>(&record);
      if (encoded == nullptr) return 0;
      const Size size = probe(*encoded, request);
      bytes += std::int64_t{3} * size.width * size.height;
      ++readable;
    } catch (const Error&) {
      // Whoever needs this image reports it.
    }
  }
  if (config.cache == CacheMode::decoded) return std::numeric_limits<std::int64_t>::max();
  if (readable == 0) return 0;
  const std::int64_t budget = physical_memory() / 4;
  const double expected = static_cast<double>(bytes) / static_cast<double>(readable) *
                          static_cast<double>(dataset.size());
  return expected <= static_cast<double>(budget) ? budget : 0;
}

}  // namespace clr
