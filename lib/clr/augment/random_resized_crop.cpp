// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "clr/augment/augmentation.h"
#include "clr/augment/pil_pixels.h"
#include "clr/augment/resample.h"
#include "clr/augment/tf_pixels.h"

namespace clr {
namespace {

constexpr std::uint32_t kAttempts = 10;

/// SimCLR's max_attempts and min_object_covered.
constexpr std::uint32_t kTfAttempts = 100;
constexpr float kLeastCovered = 0.1F;

struct Options {
  std::int64_t size = 224;
  std::array<double, 2> scale{0.08, 1.0};
  std::array<double, 2> ratio{0.75, 1.3333333333333333};
  Interpolation interpolation = Interpolation::bilinear;

  static void fields(auto&& f) {
    f("size", &Options::size, In{1, 16384}, "side of the view, in pixels");
    f("scale", &Options::scale, In{0, 1}, "smallest and largest share of the image's area");
    f("ratio", &Options::ratio, In{0.001, 1000}, "smallest and largest width / height of the crop");
    f("interpolation", &Options::interpolation, "filter of the resize, antialiased");
  }

  void validate(const Place& place) const {
    for (const auto& [key, range] : {std::pair{"scale", &scale}, std::pair{"ratio", &ratio}}) {
      if ((*range)[0] > (*range)[1]) {
        (place / key)
            .fail(fmt::format("expected [smallest, largest], got [{}, {}]; swap them", (*range)[0],
                              (*range)[1]));
      }
    }
  }
};

/// A crop of random area, shape and place, resized to a square.
///
/// Draws:   2a, 2a + 1: area and log of the ratio at attempt a < 10; 20, 21: top, left.
/// Source:  torchvision's RandomResizedCrop, its ten attempts and central fallback included.
class RandomResizedCrop : public Augmentation {
 public:
  explicit RandomResizedCrop(const Options& options) : options_(options) {
    for (std::size_t i = 0; i < 2; ++i) log_ratio_[i] = std::log(options.ratio[i]);
  }

  OpId id() const override { return OpId::random_resized_crop; }

  std::optional<Size> output_size(std::optional<Size>, const Place&) const override {
    return view_size();
  }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = view_size();
    parameters.box = draw_box(context);
    return parameters;
  }

  Json describe(const OpParameters& parameters) const override {
    return {{"box", region_json(parameters.box)}, {"size", size_json(parameters.out)}};
  }

  std::optional<Region> source(const OpParameters& parameters) const override {
    return parameters.box;
  }

  void apply(const OpParameters& parameters, Planes& planes) const override {
    resample(planes, parameters.out, options_.interpolation);
  }

  std::unique_ptr<Augmentation> as(AugmentCompat compat) const override;
  std::optional<Stage> stage() const override {
    Stage stage{StageKind::crop};
    stage.interpolation = options_.interpolation;
    return stage;
  }

 protected:
  const Options& options() const { return options_; }

 private:
  Size view_size() const {
    return {static_cast<int>(options_.size), static_cast<int>(options_.size)};
  }

  virtual Region draw_box(const SampleContext& context) const {
    const auto [width, height] = context.in;
    const double area = static_cast<double>(width) * height;
    for (std::uint32_t attempt = 0; attempt < kAttempts; ++attempt) {
      const double target =
          area * context.rng.uniform(2 * attempt, options_.scale[0], options_.scale[1]);
      const double ratio =
          std::exp(context.rng.uniform(2 * attempt + 1, log_ratio_[0], log_ratio_[1]));
      // nearbyint, not round: Python's round takes halves to even.
      const double w = std::nearbyint(std::sqrt(target * ratio));
      const double h = std::nearbyint(std::sqrt(target / ratio));
      if (w < 1 || w > width || h < 1 || h > height) continue;
      Region box{0, 0, static_cast<int>(w), static_cast<int>(h)};
      box.y = static_cast<int>(
          context.rng.integer(2 * kAttempts, static_cast<std::uint32_t>(height - box.height) + 1));
      box.x = static_cast<int>(context.rng.integer(
          2 * kAttempts + 1, static_cast<std::uint32_t>(width - box.width) + 1));
      return box;
    }
    return central_box(context.in);
  }

  Region central_box(Size in) const {
    const auto [low, high] = options_.ratio;
    const double ratio = static_cast<double>(in.width) / in.height;
    Region box{0, 0, in.width, in.height};
    if (ratio < low) {
      const double h = std::nearbyint(in.width / low);
      box.height = static_cast<int>(std::clamp(h, 1.0, static_cast<double>(in.height)));
    } else if (ratio > high) {
      const double w = std::nearbyint(in.height * high);
      box.width = static_cast<int>(std::clamp(w, 1.0, static_cast<double>(in.width)));
    }
    box.x = (in.width - box.width) / 2;
    box.y = (in.height - box.height) / 2;
    return box;
  }

  Options options_;
  std::array<double, 2> log_ratio_{};
};

/// Source:  torchvision's RandomResizedCrop on Pillow images.
class PilRandomResizedCrop final : public RandomResizedCrop {
 public:
  using RandomResizedCrop::RandomResizedCrop;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    pil::resize(planes, parameters.out, options().interpolation);
  }
  std::optional<Stage> stage() const override { return std::nullopt; }
};

/// A crop of uniform height and ratio, of a tenth of the image or more, resized without
/// antialiasing.
///
/// Draws:   2a, 2a + 1: ratio and height at attempt a < 100; 200, 201: top, left.
/// Source:  TensorFlow's sample_distorted_bounding_box as SimCLR's data_util.py calls it.
class TfRandomResizedCrop final : public RandomResizedCrop {
 public:
  using RandomResizedCrop::RandomResizedCrop;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    tf::resize(planes, parameters.out, options().interpolation);
  }
  std::optional<Stage> stage() const override { return std::nullopt; }

 private:
  Region draw_box(const SampleContext& context) const override {
    const Size in = context.in;
    for (std::uint32_t attempt = 0; attempt < kTfAttempts; ++attempt) {
      const auto size = draw_size(context, attempt);
      if (!size || covered(*size, in) < kLeastCovered) continue;
      Region box{0, 0, size->width, size->height};
      // The last place is never drawn.
      const auto place = [&](std::uint32_t draw, int whole, int part) {
        return part < whole ? static_cast<int>(context.rng.integer(
                                  draw, static_cast<std::uint32_t>(whole - part)))
                            : 0;
      };
      box.y = place(2 * kTfAttempts, in.height, box.height);
      box.x = place(2 * kTfAttempts + 1, in.width, box.width);
      return box;
    }
    return {0, 0, in.width, in.height};
  }

  static float covered(Size part, Size whole) {
    return static_cast<float>(part.width) * static_cast<float>(part.height) /
           (static_cast<float>(whole.width) * static_cast<float>(whole.height));
  }

  std::optional<Size> draw_size(const SampleContext& context, std::uint32_t attempt) const {
    const Size in = context.in;
    const auto whole = static_cast<float>(in.width) * static_cast<float>(in.height);
    const float least = static_cast<float>(options().scale[0]) * whole;
    const float most = static_cast<float>(options().scale[1]) * whole;
    const auto ratio = static_cast<float>(
        context.rng.uniform(2 * attempt, options().ratio[0], options().ratio[1]));
    const auto width_of = [&](int height) {
      return static_cast<int>(std::lrint(static_cast<float>(height) * ratio));
    };
    auto height = static_cast<int>(std::lrint(std::sqrt(least / ratio)));
    auto highest = static_cast<int>(std::lrint(std::sqrt(most / ratio)));
    if (width_of(highest) > in.width) {
      highest = static_cast<int>((static_cast<float>(in.width) + 0.5F - 1e-7F) / ratio);
      if (width_of(highest) > in.width) --highest;
    }
    highest = std::min(highest, in.height);
    height = std::min(height, highest);
    if (height < highest) {
      height += static_cast<int>(
          context.rng.integer(2 * attempt + 1, static_cast<std::uint32_t>(highest - height) + 1));
    }
    // Rounding may have left the range of areas: one row more or less.
    const auto area = [&] {
      return static_cast<float>(width_of(height)) * static_cast<float>(height);
    };
    if (area() < least) ++height;
    if (area() > most) --height;
    const Size size{width_of(height), height};
    const bool fits = area() >= least && area() <= most && size.width <= in.width &&
                      size.height <= in.height && size.width > 0 && size.height > 0;
    return fits ? std::optional(size) : std::nullopt;
  }
};

std::unique_ptr<Augmentation> RandomResizedCrop::as(AugmentCompat compat) const {
  if (compat == AugmentCompat::pil) return std::make_unique<PilRandomResizedCrop>(options_);
  if (compat == AugmentCompat::simclr_tf) return std::make_unique<TfRandomResizedCrop>(options_);
  return nullptr;
}

}  // namespace

AugmentationEntry random_resized_crop_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "random_resized_crop", "a crop of random area, shape and place, resized to a square",
      [](const Options& options) { return std::make_unique<RandomResizedCrop>(options); });
}

}  // namespace clr
