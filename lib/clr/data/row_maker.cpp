// SPDX-License-Identifier: Apache-2.0
#include "clr/data/row_maker.h"

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

#include "clr/core/error.h"
#include "clr/data/decode_record.h"

namespace clr {
namespace {

constexpr std::uint32_t kReplacementTries = 100;

}  // namespace

RowMaker::RowMaker(std::shared_ptr<const Dataset> dataset,
                   std::shared_ptr<const Augmenter> augmenter, const LoaderOptions& options)
    : dataset_(std::move(dataset)), augmenter_(std::move(augmenter)), options_(options) {
  // One pass reads each image once.
  if (options_.data.cache == CacheMode::automatic && options_.epochs * options_.passes <= 1) return;
  const std::int64_t budget = cache_budget(*dataset_, options_.data);
  if (budget > 0) cache_ = std::make_unique<ImageCache>(dataset_->size(), budget);
}

std::int64_t RowMaker::index_at(std::int64_t epoch, std::int64_t position) const {
  if (!options_.shuffle) return position;
  const Permutation order(options_.seed, static_cast<std::uint32_t>(epoch),
                          static_cast<std::uint64_t>(dataset_->size()));
  return static_cast<std::int64_t>(order(static_cast<std::uint64_t>(position)));
}

void RowMaker::render(const Image& image, RngAddress draws, BatchBuffer& buffer,
                      std::int64_t row) const {
  for (int view = 0; view < augmenter_->view_count(); ++view) {
    const ViewParameters parameters = augmenter_->sample(options_.seed, draws, view, image.size());
    augmenter_->render(image, view, parameters, buffer.destination(view, row));
  }
}

void RowMaker::render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
                      std::int64_t row) const {
  if (cache_) {
    if (const Image* cached = cache_->find(index)) return render(*cached, draws, buffer, row);
  }
  Record record = dataset_->get(index);
  Image image;
  try {
    image = decode_record(std::move(record), options_.data);
  } catch (const Error& error) {
    throw Error(error.kind(), dataset_->location(index) + ": " + error.what());
  }
  if (cache_) cache_->store(index, image);
  render(image, draws, buffer, row);
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
