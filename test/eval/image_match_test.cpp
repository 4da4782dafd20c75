// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/image_match.h"

#include <ATen/Functions.h>

#include <cmath>
#include <vector>

#include "clr/augment/resample.h"
#include "support/catch.h"

namespace clr {
namespace {

/// A picture of soft blobs: structure at all sizes, as photographs have it.
Image blobs(std::uint64_t seed, int width, int height) {
  torch::manual_seed(seed);
  torch::Tensor sum = at::zeros({3, height, width});
  for (const std::int64_t cells : {3, 6, 12, 24}) {
    sum += at::upsample_bicubic2d(at::randn({1, 3, cells, cells}), {height, width}, false)[0] /
           std::sqrt(static_cast<double>(cells));
  }
  const torch::Tensor values =
      (128 + 50 * sum).clamp(0, 255).to(torch::kUInt8).permute({1, 2, 0}).contiguous();
  Image image{width, height, {}};
  const auto* data = values.const_data_ptr<std::uint8_t>();
  image.pixels.assign(data, data + values.numel());
  return image;
}

Image cropped(const Image& image, int x, int y, int width, int height) {
  Image part{width, height, {}};
  for (int row = y; row < y + height; ++row) {
    const auto begin = image.pixels.begin() + 3 * (row * image.width + x);
    part.pixels.insert(part.pixels.end(), begin, begin + 3 * width);
  }
  return part;
}

Image mirrored(const Image& image) {
  Image result = image;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        result.pixels[static_cast<std::size_t>(3 * (y * image.width + x) + c)] =
            image.pixels[static_cast<std::size_t>(3 * (y * image.width + image.width - 1 - x) + c)];
      }
    }
  }
  return result;
}

/// Darker and flatter, with some noise.
Image faded(const Image& image) {
  Image result = image;
  std::uint32_t state = 1;
  for (auto& value : result.pixels) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<std::uint8_t>(20 + value / 2 + (state >> 30));
  }
  return result;
}

ImageMatch match(const Image& a, const Image& b) {
  return match_images(make_thumbnail(a), make_thumbnail(b));
}

}  // namespace

CATCH_TEST_CASE("an image is found in its crops, mirrored and faded", "[eval]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Image image = blobs(seed, 96, 64);
    CATCH_INFO("seed " << seed);
    CATCH_CHECK(match(image, image).correlation > 0.999);
    CATCH_CHECK(!match(image, image).mirrored);
    const ImageMatch flip = match(image, mirrored(image));
    CATCH_CHECK(flip.correlation > 0.999);
    CATCH_CHECK(flip.mirrored);
    CATCH_CHECK(match(image, faded(image)).correlation > 0.99);
    const int x = static_cast<int>(seed % 5) * 5;
    const int y = static_cast<int>(seed / 5) * 4;
    const Image part = cropped(image, x, y, 72, 50);
    // Whichever of the two is the crop.
    CATCH_CHECK(match(image, part).correlation > 0.95);
    CATCH_CHECK(match(part, image).correlation > 0.95);
    const ImageMatch both = match(mirrored(part), faded(image));
    CATCH_CHECK(both.correlation > 0.95);
    CATCH_CHECK(both.mirrored);
  }
}

CATCH_TEST_CASE("other images do not match", "[eval]") {
  double largest = 0.0;
  for (std::uint64_t seed = 0; seed < 60; ++seed)
    largest = std::max(largest, match(blobs(seed, 64, 64), blobs(1000 + seed, 64, 64)).correlation);
  CATCH_CHECK(largest < 0.85);
}

CATCH_TEST_CASE("a single colour matches nothing", "[eval]") {
  Image grey{40, 40, std::vector<std::uint8_t>(3 * 40 * 40, 128)};
  CATCH_CHECK(match(grey, grey).correlation == 0.0);
  CATCH_CHECK(match(grey, blobs(1, 40, 40)).correlation == 0.0);
  // One pixel is an image too.
  CATCH_CHECK(match({1, 1, {1, 2, 3}}, grey).correlation == 0.0);
}

}  // namespace clr
