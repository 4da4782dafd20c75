// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "clr/augment/augmentation.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

struct Options {
  std::array<double, 3> mean{0.485, 0.456, 0.406};
  std::array<double, 3> std{0.229, 0.224, 0.225};

  static void fields(auto&& f) {
    f("mean", &Options::mean, In{-1000, 1000}, "mean of red, green and blue, of values in [0, 1]");
    f("std", &Options::std, In{1e-6, 1000}, "standard deviation of red, green and blue");
  }
};

CLR_MULTIVERSION void standardize(float* values, std::size_t count, float mean, float deviation) {
  for (std::size_t i = 0; i < count; ++i) values[i] = (values[i] - mean) / deviation;
}

/// Subtracts a mean from each channel and divides by a standard deviation. No draws.
class Normalize : public Augmentation {
 public:
  explicit Normalize(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::none; }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = context.in;
    return parameters;
  }

  Json describe(const OpParameters&) const override {
    return {{"mean", options_.mean}, {"std", options_.std}};
  }

  void apply(const OpParameters&, Planes& planes) const override {
    for (int c = 0; c < 3; ++c) {
      const auto channel = static_cast<std::size_t>(c);
      standardize(planes.plane(c), planes.plane_size(), static_cast<float>(options_.mean[channel]),
                  static_cast<float>(options_.std[channel]));
    }
  }

  std::optional<Stage> stage() const override {
    Stage stage{StageKind::normalize};
    for (std::size_t c = 0; c < 3; ++c) {
      stage.mean[c] = static_cast<float>(options_.mean[c]);
      stage.std[c] = static_cast<float>(options_.std[c]);
    }
    return stage;
  }

 private:
  Options options_;
};

}  // namespace

AugmentationEntry normalize_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "normalize", "(value - mean) / std, a channel at a time; usually the last operation",
      [](const Options& options) { return std::make_unique<Normalize>(options); });
}

}  // namespace clr
