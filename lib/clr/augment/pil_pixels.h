// SPDX-License-Identifier: Apache-2.0
// Pillow's arithmetic on 8-bit pixels, for augment.compat = pil. Planes hold whole multiples of
// 1 / 255 before and after.
//
// Source:  Pillow 12 (Resample.c, Blend.c, Convert.c) as torchvision 0.26 calls it; the same to the
//          bit. Pillow 13 takes columns first where the height shrinks much more than the width.
#pragma once

#include "clr/augment/resample.h"
#include "clr/core/image.h"

namespace clr::pil {

/// Image.resize: fixed-point weights of 22 bits, rows first, rounded to 8 bits between the passes.
void resize(Planes& planes, Size out, Interpolation interpolation);

/// ImageEnhance.Brightness, Contrast (whose mean luma is a whole number) and Color: cut, not
/// rounded, to 8 bits.
void adjust_brightness(Planes& planes, float factor);
void adjust_contrast(Planes& planes, float factor);
void adjust_saturation(Planes& planes, float factor);

/// torchvision's adjust_hue on Pillow's 8-bit HSV; `turns` in [-0.5, 0.5].
void adjust_hue(Planes& planes, float turns);

/// Image.convert("L"), three times over.
void to_gray(Planes& planes);

/// ImageOps.solarize: bytes from 255 * threshold on are inverted.
void solarize(Planes& planes, float threshold);

/// To the nearest whole multiples of 1 / 255: what a float operation leaves.
void round_to_bytes(Planes& planes);

}  // namespace clr::pil
