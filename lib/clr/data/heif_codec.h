// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "clr/core/image.h"

namespace clr {

/// Width and height of the primary image of an AVIF or HEIF file, without decoding; the container's
/// own rotation, which its decoder applies, is in them.
///
/// Throws:  Error{data} without a file name: damaged, or a build without libheif.
Size heif_size(std::span<const std::uint8_t> bytes);

/// The primary image of an AVIF or HEIF file whose header has been checked, in 8 bits, alpha
/// dropped. libheif itself refuses pictures above 32,768 pixels a side, whatever the header says.
///
/// Throws:  Error{data} without a file name: damaged pixels, or a codec that libheif lacks.
Image decode_heif(std::span<const std::uint8_t> bytes);

}  // namespace clr
