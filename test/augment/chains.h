// SPDX-License-Identifier: Apache-2.0
// What the tests of the augmentations share.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "clr/augment/augmenter.h"
#include "clr/core/image.h"

namespace clr::test {

/// Smooth colours with noise on them, different for each number.
inline Image make_image(int width, int height, std::uint64_t number = 0) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const Rng rng(77, {number * 65536 + static_cast<std::uint64_t>(y * width + x), 0, 0},
                    OpId::none);
      for (std::uint32_t c = 0; c < 3; ++c) {
        const auto smooth =
            static_cast<std::uint32_t>(c == 0 ? 180 * x / width : 180 * y / height + 10);
        image.pixels.push_back(static_cast<std::uint8_t>(smooth + rng.integer(c, 60)));
      }
    }
  }
  return image;
}

/// `region` of an image as the float planes an operation gets.
inline Planes to_planes(const Image& image, const Region& region) {
  Planes planes(region.size());
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < region.height; ++y) {
      for (int x = 0; x < region.width; ++x) {
        const int from = (region.y + y) * image.width + region.x + x;
        planes.plane(c)[y * region.width + x] =
            static_cast<float>(image.pixels[static_cast<std::size_t>(3 * from + c)]) / 255.0F;
      }
    }
  }
  return planes;
}

inline Component<Augmentation> component(const Json& json) {
  Component<Augmentation> result;
  result.read(json, Place("test"));
  return result;
}

inline std::unique_ptr<Augmentation> make_op(const Json& json) {
  return augmentations().make(component(json));
}

/// One operation with given parameters on a whole image.
inline Planes apply_op(const Augmentation& op, const OpParameters& parameters, const Image& image) {
  const Region whole{0, 0, image.width, image.height};
  Planes planes = to_planes(image, op.source(parameters).value_or(whole));
  op.apply(parameters, planes);
  return planes;
}

inline AugmentConfig read_augment(const Json& views) {
  AugmentConfig config;
  read_value(Json{{"views", views}}, Place("test") / "augment", config);
  return config;
}

inline Augmenter make_augmenter(const Json& views) {
  return Augmenter(read_augment(views), Place("test") / "augment");
}

/// A configuration of one entry.
inline Json views_of(const Json& chain, int count = 1) {
  return Json::array({Json{{"count", count}, {"chain", chain}}});
}

inline std::vector<float> render_floats(const Augmenter& augmenter, const Image& image, int view,
                                        const ViewParameters& parameters) {
  const Size size = augmenter.view_size(view);
  std::vector<float> values(3 * static_cast<std::size_t>(size.width * size.height), -99.0F);
  augmenter.render(image, view, parameters,
                   {values.data(), PixelType::float32, PixelLayout::planar});
  return values;
}

/// Every operation there is, in the usual order.
inline Json full_chain() {
  return Json::parse(R"([
    {"type": "random_resized_crop", "size": 24, "scale": [0.2, 1.0]},
    {"type": "horizontal_flip", "p": 0.5},
    {"type": "color_jitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1,
     "p": 0.8},
    {"type": "grayscale", "p": 0.2},
    {"type": "gaussian_blur", "kernel": 5, "sigma": [0.1, 2.0], "p": 0.5},
    {"type": "solarize", "threshold": 0.5, "p": 0.2},
    {"type": "normalize", "mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616]}])");
}

}  // namespace clr::test
