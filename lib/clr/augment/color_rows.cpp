// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/color_rows.h"

#include <algorithm>

#include "clr/augment/pixel_math.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

/// value - range * ramp is HSV to RGB without the six cases: `sector` is the channel's place on the
/// wheel plus the hue, in [0, 6), and the ramp is 0, rising, 1, falling there.
inline float ramp(float sector) {
  const float falling = 4.0F - sector;
  return clamp_unit(sector < falling ? sector : falling);
}

inline float wrap_sector(float sector) { return sector >= 6.0F ? sector - 6.0F : sector; }

}  // namespace

CLR_MULTIVERSION void scale_values(float* values, std::size_t count, float factor) {
  for (std::size_t i = 0; i < count; ++i) values[i] = clamp_unit(values[i] * factor);
}

CLR_MULTIVERSION void blend_with(float* values, std::size_t count, float factor, float other) {
  for (std::size_t i = 0; i < count; ++i) values[i] = clamp_unit(values[i] * factor + other);
}

CLR_MULTIVERSION void blend_with_gray(float* __restrict red, float* __restrict green,
                                      float* __restrict blue, std::size_t count, float factor) {
  const float rest = 1.0F - factor;
  for (std::size_t i = 0; i < count; ++i) {
    const float gray = rest * luma(red[i], green[i], blue[i]);
    red[i] = clamp_unit(red[i] * factor + gray);
    green[i] = clamp_unit(green[i] * factor + gray);
    blue[i] = clamp_unit(blue[i] * factor + gray);
  }
}

CLR_MULTIVERSION void sum_luma(const float* __restrict red, const float* __restrict green,
                               const float* __restrict blue, std::size_t count,
                               float* __restrict lanes) {
  std::size_t i = 0;
  for (; i + kLumaLanes <= count; i += kLumaLanes) {
    for (std::size_t l = 0; l < kLumaLanes; ++l) {
      lanes[l] += luma(red[i + l], green[i + l], blue[i + l]);
    }
  }
  for (std::size_t l = 0; i + l < count; ++l) {
    lanes[l] += luma(red[i + l], green[i + l], blue[i + l]);
  }
}

CLR_MULTIVERSION void shift_hue(float* __restrict red, float* __restrict green,
                                float* __restrict blue, std::size_t count, float shift) {
  for (std::size_t i = 0; i < count; ++i) {
    const float r = red[i];
    const float g = green[i];
    const float b = blue[i];
    const float high = std::max(std::max(r, g), b);
    const float low = std::min(std::min(r, g), b);
    const float range = high - low;
    const float divisor = range == 0.0F ? 1.0F : range;
    const bool red_leads = high == r;
    const bool green_leads = high == g;
    const float lesser = red_leads ? g - b : green_leads ? b - r : r - g;
    const float base = red_leads ? 0.0F : green_leads ? 2.0F : 4.0F;
    const float moved = base + lesser / divisor + shift;
    const float raised = moved < 0.0F ? moved + 6.0F : moved;
    const float sector = wrap_sector(raised);
    red[i] = high - range * ramp(wrap_sector(sector + 5.0F));
    green[i] = high - range * ramp(wrap_sector(sector + 3.0F));
    blue[i] = high - range * ramp(wrap_sector(sector + 1.0F));
  }
}

CLR_MULTIVERSION void to_gray(float* __restrict red, float* __restrict green,
                              float* __restrict blue, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float gray = luma(red[i], green[i], blue[i]);
    red[i] = gray;
    green[i] = gray;
    blue[i] = gray;
  }
}

CLR_MULTIVERSION void invert_from(float* values, std::size_t count, float threshold) {
  for (std::size_t i = 0; i < count; ++i) {
    const float inverted = 1.0F - values[i];
    values[i] = values[i] >= threshold ? inverted : values[i];
  }
}

}  // namespace clr
