// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/augmentation.h"
#include "clr/augment/color_rows.h"
#include "clr/augment/pil_pixels.h"

namespace clr {
namespace {

struct Options {
  double p = 0.2;

  static void fields(auto&& f) { f("p", &Options::p, In{0, 1}, "probability"); }
};

/// Replaces the three channels by their luma.
///
/// Draws:   0: whether.
class Grayscale : public Augmentation {
 public:
  explicit Grayscale(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::grayscale; }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = context.in;
    parameters.active = context.rng.uniform(0) < options_.p;
    return parameters;
  }

  Json describe(const OpParameters&) const override { return Json::object(); }

  void apply(const OpParameters&, Planes& planes) const override {
    to_gray(planes.plane(0), planes.plane(1), planes.plane(2), planes.plane_size());
  }

  std::unique_ptr<Augmentation> as(AugmentCompat compat) const override;
  std::optional<Stage> stage() const override { return Stage{StageKind::gray}; }

 private:
  Options options_;
};

/// Source:  torchvision's RandomGrayscale on Pillow images.
class PilGrayscale final : public Grayscale {
 public:
  using Grayscale::Grayscale;
  void apply(const OpParameters&, Planes& planes) const override { pil::to_gray(planes); }
  std::optional<Stage> stage() const override { return std::nullopt; }
};

std::unique_ptr<Augmentation> Grayscale::as(AugmentCompat compat) const {
  if (compat == AugmentCompat::pil) return std::make_unique<PilGrayscale>(options_);
  return nullptr;
}

}  // namespace

AugmentationEntry grayscale_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "grayscale", "replaces the three channels by their luma",
      [](const Options& options) { return std::make_unique<Grayscale>(options); });
}

}  // namespace clr
