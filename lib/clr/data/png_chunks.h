// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "clr/core/image.h"

namespace clr {

/// What a walk over the chunks of a PNG found.
struct PngChunks {
  Size size;
  std::span<const std::uint8_t> exif;  ///< content of eXIf, if any
};

/// Walks the chunks up to IEND and checks that each is complete.
///
/// Throws:  Error{data} without a file name: no IHDR, or a cut-off file.
PngChunks walk_png(std::span<const std::uint8_t> bytes);

/// A copy with the chunks that pixels need (IHDR, PLTE, IDAT, IEND), their checksums checked.
///
/// Profiles, gamma, transparency and animation are left out, so that no decoder can act on, or
/// complain about, them.
/// Throws:  Error{data} without a file name, as walk_png(), and for a wrong checksum.
std::vector<std::uint8_t> pixel_chunks(std::span<const std::uint8_t> bytes);

}  // namespace clr
