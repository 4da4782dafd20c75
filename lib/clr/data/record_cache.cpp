// SPDX-License-Identifier: Apache-2.0
#include "clr/data/record_cache.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <variant>

#include "clr/core/error.h"
#include "clr/core/memory.h"
#include "clr/data/decode_record.h"

namespace clr {

RecordCache::RecordCache(std::int64_t count, std::int64_t most_bytes)
    : records_(static_cast<std::size_t>(count)), bytes_left_(most_bytes) {}

RecordCache::~RecordCache() {
  for (auto& record : records_) std::unique_ptr<const Record>(record.load());
}

template <class T>
void RecordCache::store_copy(std::int64_t index, const T& value, std::size_t size) {
  auto& place = records_[static_cast<std::size_t>(index)];
  if (place.load(std::memory_order_relaxed) != nullptr) return;
  const auto bytes = static_cast<std::int64_t>(size);
  if (bytes_left_.fetch_sub(bytes) < bytes) {
    bytes_left_.fetch_add(bytes);
    return;
  }
  auto copy = std::make_unique<const Record>(value);
  const Record* expected = nullptr;
  // Another thread may have stored the same record meanwhile.
  if (place.compare_exchange_strong(expected, copy.get(), std::memory_order_acq_rel)) {
    static_cast<void>(copy.release());
  } else {
    bytes_left_.fetch_add(bytes);
  }
}

void RecordCache::store(std::int64_t index, const Image& image) {
  store_copy(index, image, image.pixels.size());
}

void RecordCache::store(std::int64_t index, const std::vector<std::uint8_t>& encoded) {
  store_copy(index, encoded, encoded.size());
}

double CachePlan::held_bytes() const {
  return mode == CacheMode::none ? 0.0 : std::min(expected_bytes, static_cast<double>(most_bytes));
}

CachePlan plan_cache(const Dataset& dataset, const DataConfig& config, std::int64_t passes) {
  constexpr std::int64_t kSample = 64;
  if (config.cache == CacheMode::none || dataset.size() == 0) return {};
  if (config.cache == CacheMode::automatic && passes <= 1) return {};
  const DecodeRequest request = decode_request(config);
  const std::int64_t count = std::min(kSample, dataset.size());
  double pixels = 0;
  double encoded_bytes = 0;
  double readable = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      const Record record = dataset.get(i * dataset.size() / count);
      const auto* encoded = std::get_if<std::vector<std::uint8_t>>(&record);
      if (encoded == nullptr) return {};
      const Size size = probe(*encoded, request);
      pixels += 3.0 * size.width * size.height;
      encoded_bytes += static_cast<double>(encoded->size());
      ++readable;
    } catch (const Error&) {
      // Whoever needs this image reports it.
    }
  }
  if (readable == 0) return {};
  const double images = static_cast<double>(dataset.size());
  CachePlan plan;
  plan.most_bytes =
      static_cast<std::int64_t>(config.cache_memory * static_cast<double>(physical_memory()));
  const auto expected = [&](CacheMode mode) {
    return (mode == CacheMode::decoded ? pixels : encoded_bytes) / readable * images;
  };
  for (const CacheMode mode : {CacheMode::decoded, CacheMode::encoded}) {
    plan.expected_bytes = expected(mode);
    const bool fits = plan.expected_bytes <= static_cast<double>(plan.most_bytes);
    if (config.cache != mode && (config.cache != CacheMode::automatic || !fits)) continue;
    plan.mode = mode;
    return plan;
  }
  return {};
}

}  // namespace clr
