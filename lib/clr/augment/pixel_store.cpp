// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/pixel_store.h"

#include <bit>
#include <cstdint>

#include "clr/core/multiversion.h"

namespace clr {
namespace {

/// Rounds to nearest, ties to even. The values are finite.
inline std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

CLR_MULTIVERSION void store_planar(const float* __restrict from, std::size_t count, float factor,
                                   float offset, float* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i] * factor + offset;
}

CLR_MULTIVERSION void store_planar(const float* __restrict from, std::size_t count, float factor,
                                   float offset, std::uint16_t* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = to_bfloat16(from[i] * factor + offset);
}

CLR_MULTIVERSION void store_interleaved(const float* __restrict red, const float* __restrict green,
                                        const float* __restrict blue, std::size_t count,
                                        const PixelScale& scale, float* __restrict to) {
  const auto [f0, f1, f2] = scale.factor;
  const auto [o0, o1, o2] = scale.offset;
  for (std::size_t i = 0; i < count; ++i) {
    to[3 * i] = red[i] * f0 + o0;
    to[3 * i + 1] = green[i] * f1 + o1;
    to[3 * i + 2] = blue[i] * f2 + o2;
  }
}

CLR_MULTIVERSION void store_interleaved(const float* __restrict red, const float* __restrict green,
                                        const float* __restrict blue, std::size_t count,
                                        const PixelScale& scale, std::uint16_t* __restrict to) {
  const auto [f0, f1, f2] = scale.factor;
  const auto [o0, o1, o2] = scale.offset;
  for (std::size_t i = 0; i < count; ++i) {
    to[3 * i] = to_bfloat16(red[i] * f0 + o0);
    to[3 * i + 1] = to_bfloat16(green[i] * f1 + o1);
    to[3 * i + 2] = to_bfloat16(blue[i] * f2 + o2);
  }
}

template <class Value>
void store_as(const std::array<const float*, 3>& planes, std::size_t count, const PixelScale& scale,
              PixelLayout layout, Value* to, std::size_t first, std::size_t plane_size) {
  if (layout == PixelLayout::interleaved) {
    store_interleaved(planes[0], planes[1], planes[2], count, scale, to + 3 * first);
    return;
  }
  for (std::size_t c = 0; c < 3; ++c) {
    store_planar(planes[c], count, scale.factor[c], scale.offset[c], to + c * plane_size + first);
  }
}

}  // namespace

void store_pixels(const std::array<const float*, 3>& planes, std::size_t count,
                  const PixelScale& scale, const Destination& destination, std::size_t first,
                  std::size_t plane_size) {
  if (destination.type == PixelType::float32) {
    store_as(planes, count, scale, destination.layout, static_cast<float*>(destination.data), first,
             plane_size);
  } else {
    store_as(planes, count, scale, destination.layout,
             static_cast<std::uint16_t*>(destination.data), first, plane_size);
  }
}

}  // namespace clr
