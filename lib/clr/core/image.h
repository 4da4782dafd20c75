// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace clr {

struct Size {
  int width = 0;
  int height = 0;

  bool operator==(const Size&) const = default;
};

/// A rectangle of pixels, the upper left corner inside, `x + width` and `y + height` outside.
struct Region {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;

  Size size() const { return {width, height}; }
  bool operator==(const Region&) const = default;
};

/// A decoded picture: RGB, 8 bits a channel, interleaved, rows without padding.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> pixels;  ///< [height, width, 3]

  Size size() const { return {width, height}; }
};

/// A picture of which a part may be all that was decoded.
struct PicturePart {
  const Image& image;  ///< the pixels that are there
  int x = 0;           ///< where they lie in the whole picture
  int y = 0;

  // NOLINTNEXTLINE(google-explicit-constructor): a whole picture is a part as well
  PicturePart(const Image& whole) : image(whole) {}
  PicturePart(const Image& part, const Region& region) : image(part), x(region.x), y(region.y) {}

  /// `region` of the whole picture in the pixels that are there.
  Region inside(const Region& region) const {
    return {region.x - x, region.y - y, region.width, region.height};
  }
};

/// A picture while it is being augmented: three float planes with values in [0, 1].
struct Planes {
  int width = 0;
  int height = 0;
  std::vector<float> values;  ///< [3, height, width]

  Planes() = default;
  explicit Planes(Size size) { resize(size); }

  void resize(Size size) {
    width = size.width;
    height = size.height;
    values.resize(3 * plane_size());
  }
  Size size() const { return {width, height}; }
  std::size_t plane_size() const {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(height);
  }
  float* plane(int channel) {
    return values.data() + static_cast<std::size_t>(channel) * plane_size();
  }
  const float* plane(int channel) const {
    return values.data() + static_cast<std::size_t>(channel) * plane_size();
  }
};

/// How the pixels of a finished view lie in memory.
enum class PixelType { float32, bfloat16 };
enum class PixelLayout { planar, interleaved };

/// Where a finished view goes: 3 * height * width values of `type`, at `data`, planar [3, H, W] or
/// interleaved [H, W, 3].
struct Destination {
  void* data = nullptr;
  PixelType type = PixelType::float32;
  PixelLayout layout = PixelLayout::planar;
};

}  // namespace clr
