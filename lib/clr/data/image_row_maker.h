// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "clr/augment/augmenter.h"
#include "clr/data/record_cache.h"
#include "clr/data/row_maker.h"

namespace clr {

/// Reads, decodes and renders images. Its cache guards itself.
class ImageRowMaker final : public RowMaker {
 public:
  ImageRowMaker(const std::shared_ptr<const Dataset>& dataset,
                std::shared_ptr<const Augmenter> augmenter, const LoaderOptions& options);

  std::vector<GroupLayout> layout() const override;

 protected:
  void render(std::int64_t index, RngAddress draws, BatchBuffer& buffer,
              std::int64_t row) const override;

 private:
  std::vector<ViewParameters> sample(RngAddress draws, Size size) const;
  /// Puts the image's place before the message of an error.
  template <class Work>
  void located(std::int64_t index, Work work) const;
  void render(const PicturePart& image, const std::vector<ViewParameters>& parameters,
              BatchBuffer& buffer, std::int64_t row) const;
  void render_encoded(std::int64_t index, std::span<const std::uint8_t> bytes, RngAddress draws,
                      LoaderClock::Lap& lap, BatchBuffer& buffer, std::int64_t row) const;

  std::shared_ptr<const Augmenter> augmenter_;
  CacheMode cache_mode_ = CacheMode::none;
  std::unique_ptr<RecordCache> cache_;
  /// Images that were decoded whole once: of these a part will do. Damage is looked for in the
  /// whole of every image before, so that what is bad depends on no crop, and on no resume.
  mutable std::vector<std::atomic<bool>> known_good_;
};

}  // namespace clr
