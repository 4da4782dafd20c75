// SPDX-License-Identifier: Apache-2.0
// What a drawn color_jitter does, in its order, on runs of pixels: for the operation and for the
// fused executor.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>

#include "clr/augment/augmentation.h"

namespace clr {

/// The parts, by the numbers that OpParameters::order has.
enum class JitterKind : std::uint8_t { brightness, contrast, saturation, hue };

struct JitterPart {
  JitterKind kind = JitterKind::brightness;
  float factor = 1.0F;
};

/// Neighbouring pixels as three planes.
struct PixelRun {
  float* red = nullptr;
  float* green = nullptr;
  float* blue = nullptr;
  std::size_t count = 0;
};

/// The parts that change anything. Contrast needs the mean luma of the whole picture as it is at
/// its place in the order, so it parts the others.
struct JitterParts {
  std::array<JitterPart, 4> others{};  ///< all but contrast
  std::size_t before_count = 0;
  std::size_t count = 0;
  std::optional<float> contrast;  ///< its factor

  std::span<const JitterPart> before() const { return {others.data(), before_count}; }
  std::span<const JitterPart> after() const {
    return {others.data() + before_count, count - before_count};
  }
};

JitterParts jitter_parts(const OpParameters& parameters);

/// Applies a part other than contrast.
void apply_part(const JitterPart& part, const PixelRun& run);

/// Blends with `mean`, the mean luma of the picture.
void apply_contrast(float factor, float mean, const PixelRun& run);

}  // namespace clr
