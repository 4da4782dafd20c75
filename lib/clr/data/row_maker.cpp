// SPDX-License-Identifier: Apache-2.0
#include "clr/data/row_maker.h"

#include <fmt/format.h>

#include <exception>
#include <iterator>
#include <string>
#include <utility>
#include <variant>

#include "clr/augment/pixel_math.h"
#include "clr/core/error.h"
#include "clr/data/decode_record.h"
#include "clr/data/part_to_decode.h"

namespace clr {
namespace {

constexpr std::uint32_t kReplacementTries = 100;

}  // namespace

RowMaker::RowMaker(std::shared_ptr<const Dataset> dataset,
                   std::shared_ptr<const Augmenter> augmenter, const LoaderOptions& options)
    : dataset_(std::move(dataset)),
      augmenter_(std::move(augmenter)),
      options_(options),
      known_good_(static_cast<std::size_t>(dataset_->size())) {
  const std::int64_t window = options_.data.shuffle_shards;
  if (options_.shuffle && window > 0) {
    auto ends = dataset_->shard_ends();
    if (window < static_cast<std::int64_t>(ends.size())) shard_ends_ = std::move(ends);
  }
  const CachePlan plan = plan_cache(*dataset_, options_.data, options_.epochs * options_.passes);
  cache_mode_ = plan.mode;
  if (plan.mode == CacheMode::none) return;
  cache_ = std::make_unique<RecordCache>(dataset_->size(), plan.most_bytes);
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

std::vector<ViewParameters> RowMaker::sample(RngAddress draws, Size size) const {
  std::vector<ViewParameters> parameters;
  parameters.reserve(static_cast<std::size_t>(augmenter_->view_count()));
  for (int view = 0; view < augmenter_->view_count(); ++view) {
    parameters.push_back(augmenter_->sample(options_.seed, draws, view, size));
  }
  return parameters;
}

void RowMaker::render(const PicturePart& image, const std::vector<ViewParameters>& parameters,
                      BatchBuffer& buffer, std::int64_t row) const {
  for (int view = 0; view < augmenter_->view_count(); ++view) {
    augmenter_->render(image, view, parameters[static_cast<std::size_t>(view)],
                       buffer.destination(view, row));
  }
}

template <class Work>
void RowMaker::located(std::int64_t index, Work work) const {
  try {
    work();
  } catch (const Error& error) {
    throw Error(error.kind(), dataset_->location(index) + ": " + error.what());
  }
}

void RowMaker::render_encoded(std::int64_t index, std::span<const std::uint8_t> bytes,
                              RngAddress draws, LoaderClock::Lap& lap, BatchBuffer& buffer,
                              std::int64_t row) const {
  thread_local Image image;
  const DecodeRequest request = decode_request(options_.data);
  std::atomic<bool>& known_good = known_good_[static_cast<std::size_t>(index)];
  std::optional<std::vector<ViewParameters>> parameters;
  Region region;
  const auto decode_it = [&] {
    if (known_good && cache_mode_ != CacheMode::decoded && !request.apply_exif &&
        decodes_in_parts(bytes)) {
      const Size size = probe(bytes, request);
      parameters = sample(draws, size);
      if (const auto part = part_to_decode(*augmenter_, *parameters, size)) {
        region = *part;
        image = decode_part(bytes, region, std::move(image));
        return;
      }
    }
    image = decode(bytes, request, std::move(image));
    region = {0, 0, image.width, image.height};
    known_good = true;
  };
  located(index, decode_it);
  if (cache_mode_ == CacheMode::decoded) cache_->store(index, image);
  lap.decode();
  if (!parameters) located(index, [&] { parameters = sample(draws, image.size()); });
  render({image, region}, *parameters, buffer, row);
  lap.augment();
  trim_scratch(image.pixels);
}

void RowMaker::render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
                      std::int64_t row) const {
  LoaderClock::Lap lap(clock_);
  const auto use = [&](const Record& record) {
    lap.read();
    if (const auto* image = std::get_if<Image>(&record)) {
      std::vector<ViewParameters> parameters;
      located(index, [&] { parameters = sample(draws, image->size()); });
      render(*image, parameters, buffer, row);
      lap.augment();
    } else {
      render_encoded(index, std::get<std::vector<std::uint8_t>>(record), draws, lap, buffer, row);
    }
    lap.image();
  };
  const Record* cached = cache_ ? cache_->find(index) : nullptr;
  if (cached != nullptr) return use(*cached);
  const Record record = dataset_->get(index);
  if (cache_mode_ == CacheMode::encoded) {
    if (const auto* bytes = std::get_if<std::vector<std::uint8_t>>(&record)) {
      cache_->store(index, *bytes);
    }
  }
  use(record);
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
