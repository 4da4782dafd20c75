// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "clr/core/image.h"

namespace clr {

/// A region of an image, which must lie in it, as planes of values in [0, 1].
void load_pixels(const Image& image, const Region& region, Planes& planes);

}  // namespace clr
