// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "clr/core/image.h"

namespace clr {

enum class Interpolation { bilinear, bicubic };
constexpr auto enum_names(Interpolation) { return std::array{"bilinear", "bicubic"}; }

/// Resizes a picture, then clamps it to [0, 1]. A size that is there already is left as it is.
///
/// The filters are a triangle and Keys' cubic with a = -0.5, half-pixel centres, widened by the
/// scale when shrinking (antialiasing), cut and normalised at the borders.
/// Source:  torchvision's resize with antialias=True; it leaves bicubic's overshoot as it is.
void resample(Planes& planes, Size out, Interpolation interpolation);

}  // namespace clr
