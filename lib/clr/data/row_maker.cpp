// SPDX-License-Identifier: Apache-2.0
#include "clr/data/row_maker.h"

#include <fmt/format.h>

#include <exception>
#include <iterator>
#include <utility>

#include "clr/core/error.h"
#include "clr/data/decode_record.h"

namespace clr {
namespace {

constexpr std::uint32_t kReplacementTries = 100;

}  // namespace

RowMaker::RowMaker(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
  const std::int64_t window = options_.data.shuffle_shards;
  if (options_.shuffle && window > 0) {
    auto ends = dataset_->shard_ends();
    if (window < static_cast<std::int64_t>(ends.size())) shard_ends_ = std::move(ends);
  }
}

std::int64_t RowMaker::index_at(std::int64_t epoch, std::int64_t position) const {
  if (!options_.shuffle) return position;
  if (!shard_ends_.empty()) return windowed_order(epoch)->at(position);
  const Permutation order(options_.seed, static_cast<std::uint32_t>(epoch),
                          static_cast<std::uint64_t>(dataset_->size()));
  return static_cast<std::int64_t>(order(static_cast<std::uint64_t>(position)));
}

std::shared_ptr<const EpochOrder> RowMaker::windowed_order(std::int64_t epoch) const {
  constexpr std::size_t kKept = 3;  // threads may be an epoch apart
  const std::lock_guard lock(orders_mutex_);
  auto& order = orders_[epoch];
  if (!order) {
    order = std::make_shared<const EpochOrder>(options_.seed, static_cast<std::uint32_t>(epoch),
                                               shard_ends_, options_.data.shuffle_shards);
  }
  const auto found = order;
  if (orders_.size() > kKept) {
    orders_.erase(orders_.begin()->first == epoch ? std::prev(orders_.end()) : orders_.begin());
  }
  return found;
}

void RowMaker::replace(RngAddress draws, BatchBuffer& buffer, std::int64_t row) const {
  const Rng rng(options_.seed, draws, OpId::replacement);
  for (std::uint32_t k = 0; k < kReplacementTries; ++k) {
    const std::int64_t other = rng.integer(k, static_cast<std::uint32_t>(dataset_->size()));
    if (other == static_cast<std::int64_t>(draws.index)) continue;
    try {
      render(other, draws, buffer, row);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;
      continue;
    }
    buffer.row(row).index = other;
    buffer.row(row).label = dataset_->label(other);
    return;
  }
  throw Error(
      ErrorKind::data,
      fmt::format("{}: {} drawn replacements for a bad image could not be read either",
                  dataset_->location(static_cast<std::int64_t>(draws.index)), kReplacementTries));
}

void RowMaker::make(std::int64_t epoch, std::int64_t position, BatchBuffer& buffer,
                    std::int64_t row) const {
  RowResult& result = buffer.row(row);
  try {
    const std::int64_t index = index_at(epoch, position);
    // Without shuffling, every pass is the same one.
    const RngAddress draws{static_cast<std::uint64_t>(index), 0,
                           options_.shuffle ? static_cast<std::uint32_t>(epoch) : 0U};
    result.index = index;
    result.label = dataset_->label(index);
    try {
      render(index, draws, buffer, row);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data || options_.data.on_error == OnError::fail) throw;
      result.bad = BadImage{index, dataset_->name(index), reason_of(error, *dataset_, index)};
      if (options_.data.on_error == OnError::skip) {
        result.dropped = true;
      } else {
        replace(draws, buffer, row);
      }
    }
  } catch (...) {
    result.error = std::current_exception();
  }
}

}  // namespace clr
