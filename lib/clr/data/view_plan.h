// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "clr/augment/augmenter.h"
#include "clr/data/dataset.h"
#include "clr/data/loader.h"
#include "clr/text/text_views.h"

namespace clr {

/// How the items of a data set become views: images by `augment`, texts by `text`.
struct ViewPlan {
  AugmentConfig augment{};           ///< of images
  std::optional<TextConfig> text{};  ///< of texts, with its pieces; `augment` says nothing
};

/// The views of one size of an item.
struct ViewShape {
  std::int64_t views = 0;
  std::vector<std::int64_t> shape;  ///< [3, H, W], or [L]
};
std::vector<ViewShape> view_shapes(const AugmentConfig& augment,
                                   const std::optional<TextConfig>& text);

/// A thread loader of the set's kind.
///
/// Throws:  as make_thread_loader(); Error{config} for a set of the other kind
///          (require_kind()).
std::unique_ptr<Loader> make_loader(const std::shared_ptr<const Dataset>& dataset,
                                    const ViewPlan& plan, const LoaderOptions& options);

/// Throws:  Error{config} "/text: ..." for texts without a `text` section, and images with one.
void require_kind(const Dataset& dataset, bool text_section);

}  // namespace clr
