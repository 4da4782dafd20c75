// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/pixel_load.h"

#include <cstddef>
#include <cstdint>

#include "clr/core/multiversion.h"

namespace clr {
namespace {

CLR_MULTIVERSION void unpack_row(const std::uint8_t* __restrict pixels, int width,
                                 float* __restrict red, float* __restrict green,
                                 float* __restrict blue) {
  for (int x = 0; x < width; ++x) {
    red[x] = static_cast<float>(pixels[3 * x]) / 255.0F;
    green[x] = static_cast<float>(pixels[3 * x + 1]) / 255.0F;
    blue[x] = static_cast<float>(pixels[3 * x + 2]) / 255.0F;
  }
}

}  // namespace

void load_pixels(const Image& image, const Region& region, Planes& planes) {
  planes.resize(region.size());
  for (int y = 0; y < region.height; ++y) {
    const std::size_t first =
        3 * (static_cast<std::size_t>(region.y + y) * static_cast<std::size_t>(image.width) +
             static_cast<std::size_t>(region.x));
    const std::size_t row = static_cast<std::size_t>(y) * static_cast<std::size_t>(region.width);
    unpack_row(image.pixels.data() + first, region.width, planes.plane(0) + row,
               planes.plane(1) + row, planes.plane(2) + row);
  }
}

}  // namespace clr
