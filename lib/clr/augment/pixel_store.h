// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "clr/core/image.h"

namespace clr {

/// (value - mean) / std of each channel, as a product and a sum.
struct PixelScale {
  std::array<float, 3> factor{1.0F, 1.0F, 1.0F};
  std::array<float, 3> offset{};

  PixelScale() = default;
  PixelScale(const std::array<float, 3>& mean, const std::array<float, 3>& std) {
    for (std::size_t c = 0; c < 3; ++c) {
      factor[c] = 1.0F / std[c];
      offset[c] = -mean[c] / std[c];
    }
  }
};

/// Writes `count` pixels of three planes, scaled, to a destination of `plane_size` pixels, from its
/// pixel `first` on. bfloat16 is rounded to nearest, ties to even.
void store_pixels(const std::array<const float*, 3>& planes, std::size_t count,
                  const PixelScale& scale, const Destination& destination, std::size_t first,
                  std::size_t plane_size);

}  // namespace clr
