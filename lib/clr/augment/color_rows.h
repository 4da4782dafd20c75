// SPDX-License-Identifier: Apache-2.0
// Arithmetic of the colour operations on runs of pixels, for the operations and for the fused
// executor. Every value stays in [0, 1]; the bytes do not depend on the instruction set.
#pragma once

#include <cstddef>

namespace clr {

/// values *= factor.
void scale_values(float* values, std::size_t count, float factor);

/// values = values * factor + other.
void blend_with(float* values, std::size_t count, float factor, float other);

/// Each channel blended with the pixel's luma: factor 0 is gray, 1 the picture.
void blend_with_gray(float* __restrict red, float* __restrict green, float* __restrict blue,
                     std::size_t count, float factor);

/// Partial sums that sum_luma keeps.
constexpr std::size_t kLumaLanes = 16;

/// Adds to lane l every 16th luma from l on: an order that no vector width changes.
void sum_luma(const float* __restrict red, const float* __restrict green,
              const float* __restrict blue, std::size_t count, float* __restrict lanes);

/// Turns the hue; `shift` in sixths of a turn, in [-3, 3].
void shift_hue(float* __restrict red, float* __restrict green, float* __restrict blue,
               std::size_t count, float shift);

/// All three channels become the luma.
void to_gray(float* __restrict red, float* __restrict green, float* __restrict blue,
             std::size_t count);

/// Values from `threshold` on become 1 - value.
void invert_from(float* values, std::size_t count, float threshold);

}  // namespace clr
