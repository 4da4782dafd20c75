// SPDX-License-Identifier: Apache-2.0
// Whether one image is another, cropped, mirrored or encoded anew.
#pragma once

#include <array>
#include <cstdint>

#include "clr/core/image.h"

namespace clr {

/// A small form of an image, squeezed into a square: what images are compared by.
struct Thumbnail {
  static constexpr int kSide = 48;
  std::array<std::uint8_t, 3 * kSide * kSide> pixels{};  ///< planar
};

/// Shrinks or enlarges with antialiasing.
Thumbnail make_thumbnail(const Image& image);

struct ImageMatch {
  /// Of the colours of both, where they overlap best: 1 for equal images, whatever their
  /// brightness and contrast; 0 where one is a single colour.
  double correlation = 0.0;
  /// Of what is left when the soft course of the colours is taken away: outlines and texture.
  /// Skies over the sea are alike in their colours, and not in this.
  double detail = 0.0;
  /// Of both the smaller: how sure it is that the images are one.
  double likeness() const { return correlation < detail ? correlation : detail; }

  bool mirrored = false;  ///< left and right of one are those of the other, exchanged
};

/// Looks for the part of one that is the whole of the other, mirrored or not: crops that keep at
/// least 60 % of both sides. Correlations below 0.75 are rough.
///
/// Source:  normalised cross-correlation (Lewis, Vision Interface 1995) of 24 x 24 x 3 values,
///          searched from coarse to fine.
ImageMatch match_images(const Thumbnail& a, const Thumbnail& b);

}  // namespace clr
