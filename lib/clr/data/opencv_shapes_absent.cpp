// SPDX-License-Identifier: Apache-2.0
// Stands in for opencv_shapes.cpp in builds without OpenCV.
#include "clr/data/shapes.h"
#include "clr/io/drawing.h"

namespace clr {

struct ShapeArtist::Impl {};

ShapeArtist::ShapeArtist(int, int, std::uint64_t) { require_drawing("shapes"); }
ShapeArtist::~ShapeArtist() = default;

DrawnShape ShapeArtist::draw(ShapesSplit, std::int64_t) const { return {}; }

}  // namespace clr
