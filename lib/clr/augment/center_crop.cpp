// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <tuple>
#include <utility>

#include "clr/augment/augmentation.h"
#include "clr/augment/pixel_math.h"

namespace clr {
namespace {

struct Options {
  std::int64_t size = 224;

  static void fields(auto&& f) {
    f("size", &Options::size, In{1, 16384}, "side of the square, in pixels");
  }
};

/// First pixel and number of pixels read along one side.
std::pair<int, int> middle(int in, int size) {
  if (in <= size) return {0, in};
  return {static_cast<int>(std::nearbyint((in - size) / 2.0)), size};
}

/// The square in the middle; where the image is smaller, all of it, in a border of zeros. No draws.
class CenterCrop : public Augmentation {
 public:
  explicit CenterCrop(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::none; }

  std::optional<Size> output_size(std::optional<Size>, const Place&) const override {
    return view_size();
  }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = view_size();
    std::tie(parameters.box.x, parameters.box.width) =
        middle(context.in.width, parameters.out.width);
    std::tie(parameters.box.y, parameters.box.height) =
        middle(context.in.height, parameters.out.height);
    return parameters;
  }

  Json describe(const OpParameters& parameters) const override {
    return {{"box", region_json(parameters.box)}, {"size", size_json(parameters.out)}};
  }

  std::optional<Region> source(const OpParameters& parameters) const override {
    return parameters.box;
  }

  void apply(const OpParameters& parameters, Planes& planes) const override {
    const Size out = parameters.out;
    if (planes.size() == out) return;
    const int left = (out.width - planes.width) / 2;
    const int top = (out.height - planes.height) / 2;
    thread_local Planes framed;
    framed.resize(out);
    std::fill(framed.values.begin(), framed.values.end(), 0.0F);
    for (int c = 0; c < 3; ++c) {
      for (int y = 0; y < planes.height; ++y) {
        const float* row = planes.plane(c) + static_cast<std::ptrdiff_t>(y) * planes.width;
        std::copy_n(row, planes.width,
                    framed.plane(c) + static_cast<std::ptrdiff_t>(y + top) * out.width + left);
      }
    }
    std::swap(planes, framed);
    trim_scratch(framed.values);
  }

 private:
  Size view_size() const {
    return {static_cast<int>(options_.size), static_cast<int>(options_.size)};
  }

  Options options_;
};

}  // namespace

AugmentationEntry center_crop_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "center_crop", "the square in the middle; a smaller image gets a border of zeros",
      [](const Options& options) { return std::make_unique<CenterCrop>(options); });
}

}  // namespace clr
