// SPDX-License-Identifier: Apache-2.0
// TensorFlow's arithmetic as SimCLR's data code calls it, for augment.compat = simclr-tf.
//
// Source:  tf.image.resize, adjust_contrast and adjust_saturation of TensorFlow 2 and SimCLR's
//          random_blur (depthwise convolutions with padding SAME).
#pragma once

#include <vector>

#include "clr/augment/resample.h"
#include "clr/core/image.h"

namespace clr::tf {

/// Resizes with half-pixel centres and without antialiasing: four taps of Keys' cubic (a = -0.5,
/// places rounded to 1 / 1024 of a pixel), or two of a triangle. The cubic's overshoot is left.
void resize(Planes& planes, Size out, Interpolation interpolation);

/// Each channel away from its own mean, then clamped to [0, 1].
void adjust_contrast(Planes& planes, float factor);

/// The saturation of HSV times `factor`, at most 1; then clamped to [0, 1].
void adjust_saturation(Planes& planes, float factor);

/// Convolves with weights[k] at distance k, over a border of zeros.
void blur(Planes& planes, const std::vector<float>& weights);

}  // namespace clr::tf
