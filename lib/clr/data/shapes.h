// SPDX-License-Identifier: Apache-2.0
// The built-in labelled images: an object before a background, whose shape and texture make its
// class. Colour, place, size, rotation and background tell nothing about it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "clr/core/image.h"

namespace clr {

constexpr int kMostShapeClasses = 24;
constexpr int kShapeBackgrounds = 12;
constexpr int kLeastShapeSize = 16;
constexpr int kMostShapeSize = 512;

/// Names of the first `classes` classes: "circle_striped", "circle_dotted", "square_striped", ...
/// 1 <= classes <= kMostShapeClasses.
std::vector<std::string> shape_class_names(int classes);

enum class ShapesSplit : std::uint32_t { train, test };

/// One image, and what is in it.
struct DrawnShape {
  Image image;
  int label = 0;
  int background = 0;     ///< which of the kShapeBackgrounds
  double area = 0.0;      ///< of the object, in pixels
  double center_x = 0.0;  ///< centroid of the object, in pixels
  double center_y = 0.0;
};

/// Draws images of the set, each from (seed, split, index) alone. Thread-safe.
///
/// Label and background follow from the index, so that every class has as many images as any other
/// (give or take one), and every background as many of each class. Everything else is drawn, from
/// distributions that are the same for all classes: area and centre of the object, its rotation,
/// one dark and one light colour, and which of them covers kTextureShare of it.
class ShapeArtist {
 public:
  /// `size`: side of the images in pixels. Throws Error{usage} in a build without OpenCV.
  ShapeArtist(int size, int classes, std::uint64_t seed);
  ~ShapeArtist();
  ShapeArtist(const ShapeArtist&) = delete;
  ShapeArtist& operator=(const ShapeArtist&) = delete;

  DrawnShape draw(ShapesSplit split, std::int64_t index) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct ShapesOptions {
  std::int64_t train = 4000;
  std::int64_t test = 1000;
  int size = 48;
  int classes = 10;
  std::uint64_t seed = 0;
};

/// Writes OUT/train/CLASS/NUMBER.png and OUT/test/CLASS/NUMBER.png. The bytes do not depend on the
/// number of threads. Both folders appear when all images are drawn; until then they are in
/// OUT/.partial, which a later call clears away.
///
/// `watch` is told how many images are written.
/// Throws:  Error{usage} for a folder that is not empty; Error{output} naming what cannot be
///          written.
void write_shapes(const std::filesystem::path& out, const ShapesOptions& options, int threads,
                  const std::function<void(std::int64_t)>& watch = {});

}  // namespace clr
