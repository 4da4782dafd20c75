// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/clip.h"

#include "clr/augment/pixel_math.h"

namespace clr {
namespace {

class Clip final : public Augmentation {
 public:
  OpId id() const override { return OpId::none; }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = context.in;
    return parameters;
  }

  Json describe(const OpParameters&) const override { return Json::object(); }

  void apply(const OpParameters&, Planes& planes) const override {
    for (float& value : planes.values) value = clamp_unit(value);
  }
};

}  // namespace

std::unique_ptr<Augmentation> make_clip() { return std::make_unique<Clip>(); }

}  // namespace clr
