// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "clr/core/image.h"

namespace clr {

/// The values of an integer tag of the first directory of a TIFF structure; none where it lacks the
/// tag.
std::vector<std::uint32_t> tiff_tag(std::span<const std::uint8_t> bytes, std::uint32_t tag);

/// Width and height of the upright picture: TIFF decoders apply its orientation.
///
/// Throws:  Error{data} without a file name: damaged, cut off, or samples that are not decoded.
Size tiff_size(std::span<const std::uint8_t> bytes);

/// A copy whose alpha, if any, is declared as multiplied in already, so that libtiff leaves the
/// colours as they are instead of blending them with black.
std::vector<std::uint8_t> with_inert_alpha(std::span<const std::uint8_t> bytes);

}  // namespace clr
