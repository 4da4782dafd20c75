// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "clr/augment/augmentation.h"
#include "clr/augment/pil_pixels.h"
#include "clr/augment/resample.h"
#include "clr/augment/tf_pixels.h"

namespace clr {
namespace {

/// A strip of 1 x 60000 pixels, resized by its short side, would fill the memory.
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 27;

struct Options {
  std::int64_t size = 256;
  Interpolation interpolation = Interpolation::bilinear;

  static void fields(auto&& f) {
    f("size", &Options::size, In{1, 16384}, "shorter side after the resize, in pixels");
    f("interpolation", &Options::interpolation, "filter of the resize, antialiased");
  }
};

/// Resizes the shorter side to a size, the longer one in proportion, cut to whole pixels. No draws.
class Resize : public Augmentation {
 public:
  explicit Resize(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::none; }

  std::optional<Size> output_size(std::optional<Size> in, const Place& place) const override {
    if (!in) return std::nullopt;
    const auto [width, height] = resized(*in);
    if (width * height > kMaxPixels) {
      (place / "size")
          .fail(fmt::format("expected a result of at most {} pixels, got {} x {}", kMaxPixels,
                            width, height));
    }
    return Size{static_cast<int>(width), static_cast<int>(height)};
  }

  OpParameters sample(const SampleContext& context) const override {
    const auto [width, height] = resized(context.in);
    if (width * height > kMaxPixels) {
      throw Error(ErrorKind::data,
                  fmt::format("resize: expected a result of at most {} pixels, got {} x {} from an "
                              "image of {} x {}",
                              kMaxPixels, width, height, context.in.width, context.in.height));
    }
    OpParameters parameters;
    parameters.out = {static_cast<int>(width), static_cast<int>(height)};
    parameters.box = {0, 0, context.in.width, context.in.height};
    return parameters;
  }

  Json describe(const OpParameters& parameters) const override {
    return {{"size", size_json(parameters.out)}};
  }

  void apply(const OpParameters& parameters, Planes& planes) const override {
    resample(planes, parameters.out, options_.interpolation);
  }

  std::unique_ptr<Augmentation> as(AugmentCompat compat) const override;

 protected:
  const Options& options() const { return options_; }

 private:
  /// Width, height.
  std::pair<std::int64_t, std::int64_t> resized(Size in) const {
    const std::int64_t longer =
        options_.size * std::max(in.width, in.height) / std::min(in.width, in.height);
    return in.width <= in.height ? std::pair{options_.size, longer}
                                 : std::pair{longer, options_.size};
  }

  Options options_;
};

/// Source:  torchvision's Resize on Pillow images.
class PilResize final : public Resize {
 public:
  using Resize::Resize;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    pil::resize(planes, parameters.out, options().interpolation);
  }
};

/// Source:  tf.image.resize without antialiasing, as SimCLR calls it.
class TfResize final : public Resize {
 public:
  using Resize::Resize;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    tf::resize(planes, parameters.out, options().interpolation);
  }
};

std::unique_ptr<Augmentation> Resize::as(AugmentCompat compat) const {
  if (compat == AugmentCompat::pil) return std::make_unique<PilResize>(options_);
  if (compat == AugmentCompat::simclr_tf) return std::make_unique<TfResize>(options_);
  return nullptr;
}

}  // namespace

AugmentationEntry resize_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "resize", "resizes the shorter side to a size, the longer one in proportion",
      [](const Options& options) { return std::make_unique<Resize>(options); });
}

}  // namespace clr
