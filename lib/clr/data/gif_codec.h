// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "clr/core/image.h"

namespace clr {

/// Width and height of a GIF's screen, without decoding.
///
/// Throws:  Error{data} without a file name: damaged, or a build without giflib.
Size gif_size(std::span<const std::uint8_t> bytes);

/// The first picture of a GIF whose header has been checked, on its screen in the background's
/// colour; transparency is dropped, as a palette's always is.
///
/// Throws:  Error{data} without a file name: damaged or cut-off pixels, a picture that leaves the
///          screen.
Image decode_gif(std::span<const std::uint8_t> bytes);

}  // namespace clr
