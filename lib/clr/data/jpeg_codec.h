// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "clr/core/image.h"

namespace clr {

/// Width and height of a JPEG, as stored.
///
/// Throws:  Error{data} without a file name for a damaged header.
Size jpeg_size(std::span<const std::uint8_t> bytes);

/// Decodes a JPEG through libjpeg-turbo: accurate integer transform, smooth chroma upsampling, so
/// the pixels are Pillow's and torchvision's.
///
/// `check_size` is called with the header's size before anything is allocated, and may throw.
/// Throws:  Error{data} without a file name: damaged, cut off, or more than 100 scans. libjpeg's
///          warnings count as damage, but those about metadata (JFIF version, Adobe, colour
///          profile).
Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::function<void(Size)>& check_size);

}  // namespace clr
