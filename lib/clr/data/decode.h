// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "clr/core/image.h"

namespace clr {

/// What decoding may do and may cost.
struct DecodeRequest {
  bool apply_exif = false;
  std::int64_t max_pixels = 178'000'000;
};

/// Width and height from the header (as stored; after EXIF orientation when request.apply_exif).
///
/// Throws:  Error{data} without a file name (the caller knows it): empty, unknown format, damaged
/// header,
///          more than request.max_pixels, or a side above 65,500.
Size probe(std::span<const std::uint8_t> bytes, const DecodeRequest& request);

/// Decodes to RGB, 8 bits. The format is told by content: JPEG through libjpeg-turbo, GIF (its first
/// picture) through giflib, AVIF and HEIF through libheif, the others through OpenCV. The memory of
/// `reuse` is used again.
///
/// CMYK and YCCK by Pillow's formula, Adobe's inversion undone; 16 bits scaled by 1/257; alpha
/// dropped, palettes and gray expanded. A warning of libjpeg counts as damage. Throws:  Error{data}
/// without a file name, as probe(), and for truncated or damaged pixels.
Image decode(std::span<const std::uint8_t> bytes, const DecodeRequest& request, Image reuse = {});

/// Whether decode_part() may save time: the bytes are a JPEG's.
bool decodes_in_parts(std::span<const std::uint8_t> bytes);

/// Decodes at least the pixels of `wanted`, which becomes the region that is there: the pixels that
/// decode() gives without EXIF. Only for JPEGs that decode() has read before: damage outside of the
/// region is not looked for.
Image decode_part(std::span<const std::uint8_t> bytes, Region& wanted, Image reuse = {});

/// One line about the bytes' format for messages: "JPEG", "PNG", "GIF", ..., "unknown".
const char* format_name(std::span<const std::uint8_t> bytes);

}  // namespace clr
