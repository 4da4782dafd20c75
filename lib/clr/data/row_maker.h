// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "clr/augment/augmenter.h"
#include "clr/data/batch_buffer.h"
#include "clr/data/dataset.h"
#include "clr/data/image_cache.h"
#include "clr/data/loader.h"

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

 private:
  std::int64_t index_at(std::int64_t epoch, std::int64_t position) const;
  /// Throws Error{data} "LOCATION: reason".
  void render(std::int64_t index, RngAddress draws, BatchBuffer& buffer, std::int64_t row) const;
  void render(const Image& image, RngAddress draws, BatchBuffer& buffer, std::int64_t row) const;
  void replace(RngAddress draws, BatchBuffer& buffer, std::int64_t row) const;

  std::shared_ptr<const Dataset> dataset_;
  std::shared_ptr<const Augmenter> augmenter_;
  LoaderOptions options_;
  std::unique_ptr<ImageCache> cache_;
};

}  // namespace clr
