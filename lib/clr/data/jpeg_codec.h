// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "clr/core/image.h"

namespace clr {

/// Width and height of a JPEG, as stored.
///
/// Throws:  Error{data} without a file name for a damaged header.
Size jpeg_size(std::span<const std::uint8_t> bytes);

/// Decodes a JPEG through libjpeg-turbo: accurate integer transform, smooth chroma upsampling, so
/// the pixels are Pillow's and torchvision's.
///
/// `check_size` is called with the header's size before anything is allocated, and may throw. The
/// memory of `reuse` is used again.
/// Throws:  Error{data} without a file name: damaged, cut off, or more than 100 scans. libjpeg's
///          warnings count as damage, but those about metadata (JFIF version, Adobe, colour
///          profile).
Image decode_jpeg(std::span<const std::uint8_t> bytes, const std::function<void(Size)>& check_size,
                  Image reuse = {});

/// As decode_jpeg(), at least the pixels of `wanted`, without what is right of, above and below
/// them where the file allows it: the transforms of the rest are saved, not its Huffman codes.
/// `wanted` becomes the region that is there. Damage behind its last row is not seen.
Image decode_jpeg_part(std::span<const std::uint8_t> bytes, Region& wanted, Image reuse = {});

/// Encodes as a baseline JPEG of 4:2:0 with Huffman tables of its own; quality 1 to 100.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality);

}  // namespace clr
