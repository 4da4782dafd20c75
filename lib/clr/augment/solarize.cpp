// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/augmentation.h"
#include "clr/augment/color_rows.h"
#include "clr/augment/pil_pixels.h"

namespace clr {
namespace {

struct Options {
  double threshold = 0.5;
  double p = 0.2;

  static void fields(auto&& f) {
    f("threshold", &Options::threshold, In{0, 1}, "values from here on are inverted");
    f("p", &Options::p, In{0, 1}, "probability");
  }
};

/// Inverts every value at or above a threshold.
///
/// Draws:   0: whether.
/// Values:  0: the threshold.
class Solarize : public Augmentation {
 public:
  explicit Solarize(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::solarize; }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = context.in;
    parameters.active = context.rng.uniform(0) < options_.p;
    parameters.values[0] = static_cast<float>(options_.threshold);
    return parameters;
  }

  Json describe(const OpParameters& parameters) const override {
    return {{"threshold", parameters.values[0]}};
  }

  void apply(const OpParameters& parameters, Planes& planes) const override {
    invert_from(planes.values.data(), planes.values.size(), parameters.values[0]);
  }

  std::unique_ptr<Augmentation> as(AugmentCompat compat) const override;
  std::optional<Stage> stage() const override { return Stage{StageKind::solarize}; }

 private:
  Options options_;
};

/// Source:  torchvision's RandomSolarize on Pillow images.
class PilSolarize final : public Solarize {
 public:
  using Solarize::Solarize;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    pil::solarize(planes, parameters.values[0]);
  }
  std::optional<Stage> stage() const override { return std::nullopt; }
};

std::unique_ptr<Augmentation> Solarize::as(AugmentCompat compat) const {
  if (compat == AugmentCompat::pil) return std::make_unique<PilSolarize>(options_);
  return nullptr;
}

}  // namespace

AugmentationEntry solarize_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "solarize", "inverts every value at or above a threshold",
      [](const Options& options) { return std::make_unique<Solarize>(options); });
}

}  // namespace clr
