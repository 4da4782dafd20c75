// SPDX-License-Identifier: Apache-2.0
#include "clr/data/part_to_decode.h"

#include <algorithm>
#include <cstddef>

namespace clr {
namespace {

/// Of the whole image; above it, the part costs as much.
constexpr double kLargestPart = 0.7;

}  // namespace

std::optional<Region> part_to_decode(const Augmenter& augmenter,
                                     const std::vector<ViewParameters>& parameters, Size size) {
  int left = size.width;
  int top = size.height;
  int right = 0;
  int bottom = 0;
  for (int view = 0; view < augmenter.view_count(); ++view) {
    const auto source = augmenter.source(view, parameters[static_cast<std::size_t>(view)]);
    if (!source) return std::nullopt;
    left = std::min(left, source->x);
    top = std::min(top, source->y);
    right = std::max(right, source->x + source->width);
    bottom = std::max(bottom, source->y + source->height);
  }
  const Region part{left, top, right - left, bottom - top};
  const double share = static_cast<double>(part.width) * part.height /
                       (static_cast<double>(size.width) * size.height);
  return share < kLargestPart ? std::optional(part) : std::nullopt;
}

}  // namespace clr
