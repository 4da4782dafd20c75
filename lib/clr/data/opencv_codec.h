// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "clr/core/image.h"
#include "clr/data/image_format.h"

namespace clr {

/// Decodes a PNG, BMP, WebP, TIFF or PNM whose header has been checked.
///
/// 16 bits are scaled by 1/257 and rounded; alpha is dropped unblended; gray and palettes are
/// expanded; EXIF is ignored. Throws:  Error{data} without a file name: damaged pixels, samples of
/// other depths; in a build without
///          OpenCV always.
Image decode_other(std::span<const std::uint8_t> bytes, ImageFormat format);

}  // namespace clr
