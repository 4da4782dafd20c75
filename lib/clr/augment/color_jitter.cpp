// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <utility>

#include "clr/augment/augmentation.h"
#include "clr/augment/pixel_math.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

enum Part : std::uint8_t { kBrightness, kContrast, kSaturation, kHue };
constexpr std::array<const char*, 4> kPartNames = {"brightness", "contrast", "saturation", "hue"};

/// Pixels that go through several parts in turn while they are in the nearest cache.
constexpr std::size_t kBlock = 1024;
constexpr std::size_t kLanes = 16;

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

CLR_MULTIVERSION void scale_values(float* values, std::size_t count, float factor) {
  for (std::size_t i = 0; i < count; ++i) values[i] = clamp_unit(values[i] * factor);
}

CLR_MULTIVERSION void blend_with(float* values, std::size_t count, float factor, float other) {
  for (std::size_t i = 0; i < count; ++i) values[i] = clamp_unit(values[i] * factor + other);
}

CLR_MULTIVERSION void blend_with_gray(float* __restrict red, float* __restrict green,
                                      float* __restrict blue, std::size_t count, float factor) {
  const float rest = 1.0F - factor;
  for (std::size_t i = 0; i < count; ++i) {
    const float gray = rest * luma(red[i], green[i], blue[i]);
    red[i] = clamp_unit(red[i] * factor + gray);
    green[i] = clamp_unit(green[i] * factor + gray);
    blue[i] = clamp_unit(blue[i] * factor + gray);
  }
}

/// Lane l gets the sum of every 16th luma from l on: an order that no vector width changes.
CLR_MULTIVERSION void sum_luma(const float* __restrict red, const float* __restrict green,
                               const float* __restrict blue, std::size_t count,
                               float* __restrict lanes) {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      lanes[l] += luma(red[i + l], green[i + l], blue[i + l]);
    }
  }
  for (std::size_t l = 0; i + l < count; ++l) {
    lanes[l] += luma(red[i + l], green[i + l], blue[i + l]);
  }
}

/// value - range * ramp is HSV to RGB without the six cases: `sector` is the channel's place on the
/// wheel plus the hue, in [0, 6), and the ramp is 0, rising, 1, falling there.
inline float ramp(float sector) {
  const float falling = 4.0F - sector;
  return clamp_unit(sector < falling ? sector : falling);
}

inline float wrap_sector(float sector) { return sector >= 6.0F ? sector - 6.0F : sector; }

/// `shift` in sixths of a turn, in [-3, 3].
CLR_MULTIVERSION void shift_hue(float* __restrict red, float* __restrict green,
                                float* __restrict blue, std::size_t count, float shift) {
  for (std::size_t i = 0; i < count; ++i) {
    const float r = red[i];
    const float g = green[i];
    const float b = blue[i];
    const float high = std::max(std::max(r, g), b);
    const float low = std::min(std::min(r, g), b);
    const float range = high - low;
    const float divisor = range == 0.0F ? 1.0F : range;
    const bool red_leads = high == r;
    const bool green_leads = high == g;
    const float lesser = red_leads ? g - b : green_leads ? b - r : r - g;
    const float base = red_leads ? 0.0F : green_leads ? 2.0F : 4.0F;
    const float moved = base + lesser / divisor + shift;
    const float raised = moved < 0.0F ? moved + 6.0F : moved;
    const float sector = wrap_sector(raised);
    red[i] = high - range * ramp(wrap_sector(sector + 5.0F));
    green[i] = high - range * ramp(wrap_sector(sector + 3.0F));
    blue[i] = high - range * ramp(wrap_sector(sector + 1.0F));
  }
}

struct Block {
  float* red;
  float* green;
  float* blue;
  std::size_t count;
};

void apply_part(Part part, float factor, const Block& block) {
  switch (part) {
    case kBrightness:
      for (float* plane : {block.red, block.green, block.blue}) {
        scale_values(plane, block.count, factor);
      }
      break;
    case kSaturation:
      blend_with_gray(block.red, block.green, block.blue, block.count, factor);
      break;
    case kHue:
      shift_hue(block.red, block.green, block.blue, block.count, 6.0F * factor);
      break;
    case kContrast:
      break;  // Needs the mean of the whole picture: the caller's.
  }
}

template <class Work>
void for_blocks(Planes& planes, Work work) {
  const std::size_t size = planes.plane_size();
  for (std::size_t begin = 0; begin < size; begin += kBlock) {
    work(Block{planes.plane(0) + begin, planes.plane(1) + begin, planes.plane(2) + begin,
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
    const auto factor = [&](std::uint32_t draw, double strength) {
      return static_cast<float>(rng.uniform(draw, std::max(0.0, 1.0 - strength), 1.0 + strength));
    };
    parameters.values = {factor(1, options_.brightness), factor(2, options_.contrast),
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
    std::array<Part, 4> before{};
    std::array<Part, 4> after{};
    std::size_t before_count = 0;
    std::size_t after_count = 0;
    bool contrast = false;
    for (const std::uint8_t number : parameters.order) {
      const Part part{number};
      if (parameters.values[part] == (part == kHue ? 0.0F : 1.0F)) continue;
      if (part == kContrast) {
        contrast = true;
      } else if (contrast) {
        after[after_count++] = part;
      } else {
        before[before_count++] = part;
      }
    }

    std::array<float, kLanes> lanes{};
    double luma_sum = 0.0;
    for_blocks(planes, [&](const Block& block) {
      for (std::size_t i = 0; i < before_count; ++i) {
        apply_part(before[i], parameters.values[before[i]], block);
      }
      if (!contrast) return;
      lanes.fill(0.0F);
      sum_luma(block.red, block.green, block.blue, block.count, lanes.data());
      for (const float lane : lanes) luma_sum += static_cast<double>(lane);
    });
    if (!contrast) return;

    const float factor = parameters.values[kContrast];
    const auto mean = static_cast<float>(luma_sum / static_cast<double>(planes.plane_size()));
    const float other = (1.0F - factor) * mean;
    for_blocks(planes, [&](const Block& block) {
      for (float* plane : {block.red, block.green, block.blue}) {
        blend_with(plane, block.count, factor, other);
      }
      for (std::size_t i = 0; i < after_count; ++i) {
        apply_part(after[i], parameters.values[after[i]], block);
      }
    });
  }

 private:
  Options options_;
};

}  // namespace

AugmentationEntry color_jitter_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "color_jitter", "brightness, contrast, saturation and hue by random factors in random order",
      [](const Options& options) { return std::make_unique<ColorJitter>(options); });
}

}  // namespace clr
