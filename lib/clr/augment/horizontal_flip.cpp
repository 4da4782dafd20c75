// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <utility>

#include "clr/augment/augmentation.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

struct Options {
  double p = 0.5;

  static void fields(auto&& f) { f("p", &Options::p, In{0, 1}, "probability"); }
};

CLR_MULTIVERSION void mirror_rows(float* values, std::ptrdiff_t rows, std::ptrdiff_t width) {
  for (std::ptrdiff_t y = 0; y < rows; ++y) {
    float* row = values + y * width;
    for (std::ptrdiff_t x = 0; x < width / 2; ++x) std::swap(row[x], row[width - 1 - x]);
  }
}

/// Mirrors the picture left to right.
///
/// Draws:   0: whether.
class HorizontalFlip : public Augmentation {
 public:
  explicit HorizontalFlip(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::horizontal_flip; }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = context.in;
    parameters.active = context.rng.uniform(0) < options_.p;
    return parameters;
  }

  Json describe(const OpParameters&) const override { return Json::object(); }

  void apply(const OpParameters&, Planes& planes) const override {
    mirror_rows(planes.values.data(), std::ptrdiff_t{3} * planes.height, planes.width);
  }

  std::optional<Stage> stage() const override { return Stage{StageKind::flip}; }

 private:
  Options options_;
};

}  // namespace

AugmentationEntry horizontal_flip_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "horizontal_flip", "mirrors the picture left to right",
      [](const Options& options) { return std::make_unique<HorizontalFlip>(options); });
}

}  // namespace clr
