// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "clr/augment/augmentation.h"
#include "clr/augment/color_rows.h"
#include "clr/augment/jitter_parts.h"
#include "clr/augment/pil_pixels.h"
#include "clr/augment/pixel_math.h"
#include "clr/augment/tf_pixels.h"

namespace clr {
namespace {

constexpr std::array<const char*, 4> kPartNames = {"brightness", "contrast", "saturation", "hue"};

/// Pixels that go through several parts in turn while they are in the nearest cache.
constexpr std::size_t kBlock = 1024;

struct Options {
  double brightness = 0.0;
  double contrast = 0.0;
  double saturation = 0.0;
  double hue = 0.0;
  double p = 0.8;

  static void fields(auto&& f) {
    f("brightness", &Options::brightness, In{0, 100}, "factor from [max(0, 1 - b), 1 + b]");
    f("contrast", &Options::contrast, In{0, 100}, "factor from [max(0, 1 - c), 1 + c]");
    f("saturation", &Options::saturation, In{0, 100}, "factor from [max(0, 1 - s), 1 + s]");
    f("hue", &Options::hue, In{0, 0.5}, "shift from [-h, h], in turns of the colour wheel");
    f("p", &Options::p, In{0, 1}, "probability of jittering at all");
  }
};

template <class Work>
void for_blocks(Planes& planes, Work work) {
  const std::size_t size = planes.plane_size();
  for (std::size_t begin = 0; begin < size; begin += kBlock) {
    work(PixelRun{planes.plane(0) + begin, planes.plane(1) + begin, planes.plane(2) + begin,
                  std::min(kBlock, size - begin)});
  }
}

/// Brightness, contrast, saturation and hue by random factors, in random order, clamped after each.
///
/// Draws:   0: whether; 1 to 4: factors of brightness, contrast, saturation, hue; 5 to 7: order.
/// Values:  0 to 3: those factors; 1, 1, 1, 0 leave the picture as it is. `order` names them by
///          these numbers.
/// Source:  torchvision's ColorJitter on float tensors.
class ColorJitter : public Augmentation {
 public:
  explicit ColorJitter(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::color_jitter; }

  OpParameters sample(const SampleContext& context) const override {
    const Rng& rng = context.rng;
    OpParameters parameters;
    parameters.out = context.in;
    parameters.active = rng.uniform(0) < options_.p;
    const auto factor = [&](std::uint32_t draw, double strength, double least = 0.0) {
      return static_cast<float>(rng.uniform(draw, std::max(least, 1.0 - strength), 1.0 + strength));
    };
    parameters.values = {factor(1, options_.brightness),
                         factor(2, options_.contrast, least_contrast()),
                         factor(3, options_.saturation),
                         static_cast<float>(rng.uniform(4, -options_.hue, options_.hue))};
    for (std::uint32_t last = 3; last > 0; --last) {
      std::swap(parameters.order[last], parameters.order[rng.integer(8 - last, last + 1)]);
    }
    return parameters;
  }

  Json describe(const OpParameters& parameters) const override {
    Json json = Json::object();
    Json order = Json::array();
    for (std::size_t part = 0; part < kPartNames.size(); ++part) {
      json[kPartNames[part]] = parameters.values[part];
      order.push_back(kPartNames[parameters.order[part]]);
    }
    json["order"] = std::move(order);
    return json;
  }

  void apply(const OpParameters& parameters, Planes& planes) const override {
    const JitterParts parts = jitter_parts(parameters);
    std::array<float, kLumaLanes> lanes{};
    double luma_sum = 0.0;
    for_blocks(planes, [&](const PixelRun& run) {
      for (const JitterPart& part : parts.before()) apply_part(part, run);
      if (!parts.contrast) return;
      lanes.fill(0.0F);
      sum_luma(run.red, run.green, run.blue, run.count, lanes.data());
      for (const float lane : lanes) luma_sum += static_cast<double>(lane);
    });
    if (!parts.contrast) return;

    const auto mean = static_cast<float>(luma_sum / static_cast<double>(planes.plane_size()));
    for_blocks(planes, [&](const PixelRun& run) {
      apply_contrast(*parts.contrast, mean, run);
      for (const JitterPart& part : parts.after()) apply_part(part, run);
    });
  }

  std::unique_ptr<Augmentation> as(AugmentCompat compat) const override;
  std::optional<Stage> stage() const override { return Stage{StageKind::jitter}; }

 private:
  virtual double least_contrast() const { return 0.0; }

  Options options_;
};

/// Source:  torchvision's ColorJitter on Pillow images.
class PilColorJitter final : public ColorJitter {
 public:
  using ColorJitter::ColorJitter;

  void apply(const OpParameters& parameters, Planes& planes) const override {
    constexpr std::array<void (*)(Planes&, float), 4> kParts = {
        pil::adjust_brightness, pil::adjust_contrast, pil::adjust_saturation, pil::adjust_hue};
    for (const std::uint8_t part : parameters.order) {
      const float value = parameters.values[part];
      // As ColorJitter leaves it out where it is not asked for: 8-bit HSV and back changes pixels.
      if (static_cast<JitterKind>(part) == JitterKind::hue && value == 0.0F) continue;
      kParts[part](planes, value);
    }
  }

  std::optional<Stage> stage() const override { return std::nullopt; }
};

/// As color_jitter, but that contrast keeps each channel's own mean, its factor may be negative, and
/// saturation is HSV's.
///
/// Source:  SimCLR's data_util.py, color_jitter_rand, its second version of brightness.
class TfColorJitter final : public ColorJitter {
 public:
  using ColorJitter::ColorJitter;

  void apply(const OpParameters& parameters, Planes& planes) const override {
    for (const std::uint8_t number : parameters.order) {
      const float value = parameters.values[number];
      switch (static_cast<JitterKind>(number)) {
        case JitterKind::brightness:
          scale_values(planes.values.data(), planes.values.size(), value);
          break;
        case JitterKind::contrast:
          tf::adjust_contrast(planes, value);
          break;
        case JitterKind::saturation:
          tf::adjust_saturation(planes, value);
          break;
        case JitterKind::hue:
          shift_hue(planes.plane(0), planes.plane(1), planes.plane(2), planes.plane_size(),
                    6.0F * value);
          for (float& one : planes.values) one = clamp_unit(one);
          break;
      }
    }
  }

  std::optional<Stage> stage() const override { return std::nullopt; }

 private:
  double least_contrast() const override { return std::numeric_limits<double>::lowest(); }
};

std::unique_ptr<Augmentation> ColorJitter::as(AugmentCompat compat) const {
  if (compat == AugmentCompat::pil) return std::make_unique<PilColorJitter>(options_);
  if (compat == AugmentCompat::simclr_tf) return std::make_unique<TfColorJitter>(options_);
  return nullptr;
}

}  // namespace

AugmentationEntry color_jitter_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "color_jitter", "brightness, contrast, saturation and hue by random factors in random order",
      [](const Options& options) { return std::make_unique<ColorJitter>(options); });
}

}  // namespace clr
