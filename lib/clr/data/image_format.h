// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "clr/core/image.h"

namespace clr {

/// Picture formats that are told apart; JPEG 2000 is not decoded.
enum class ImageFormat { unknown, jpeg, png, bmp, webp, tiff, pnm, gif, jpeg2000, heif };

/// How many leading bytes sniff() looks at.
constexpr std::size_t kSniffBytes = 32;

/// The format by its first bytes, never by a name.
ImageFormat sniff(std::span<const std::uint8_t> bytes);

/// Whether a name alone says that this is an image: opening a million files to look would take
/// minutes.
bool has_image_extension(std::string_view name);

/// "JPEG", "PNG", ..., "unknown".
const char* to_string(ImageFormat format);

/// Width and height from the header of a PNG, BMP, WebP, TIFF or PNM, without decoding: as stored,
/// but a TIFF's own orientation, which its decoder applies.
///
/// Checks as well that the bytes are all there, as far as the container tells.
/// Throws:  Error{data} without a file name: damaged or cut-off, or a variant that is not decoded.
Size read_size(std::span<const std::uint8_t> bytes, ImageFormat format);

/// Orientation 1 to 8 from the EXIF part of a JPEG, PNG or WebP; 1 where there is none or it is
/// damaged.
///
/// A TIFF's own orientation is no EXIF part: its decoder applies it always.
int exif_orientation(std::span<const std::uint8_t> bytes, ImageFormat format);

/// Turns and mirrors an image as its orientation asks for.
Image apply_orientation(Image image, int orientation);

}  // namespace clr
