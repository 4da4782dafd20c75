// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "clr/augment/augmentation.h"
#include "clr/augment/blur_kernel.h"
#include "clr/augment/pil_pixels.h"
#include "clr/augment/pixel_math.h"
#include "clr/augment/tf_pixels.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

struct Options {
  std::int64_t kernel = 23;
  std::array<double, 2> sigma{0.1, 2.0};
  double p = 0.5;

  static void fields(auto&& f) {
    f("kernel", &Options::kernel, In{1, 255}, "side of the kernel in pixels, odd");
    f("sigma", &Options::sigma, In{0.01, 1000},
      "smallest and largest standard deviation, in pixels");
    f("p", &Options::p, In{0, 1}, "probability");
  }

  void validate(const Place& place) const {
    if (kernel % 2 == 0) {
      (place / "kernel").fail(fmt::format("expected an odd number, got {}", kernel));
    }
    if (sigma[0] > sigma[1]) {
      (place / "sigma")
          .fail(fmt::format("expected [smallest, largest], got [{}, {}]; swap them", sigma[0],
                            sigma[1]));
    }
  }
};

/// `rows` maps position y + radius, y from -radius to height + radius, to a row of `source`.
CLR_MULTIVERSION void blur_columns(const float* source, const int* rows, int width, int height,
                                   const float* weights, int radius, float* destination) {
  const float center = weights[0];
  const auto row = [&](int y) {
    return source + static_cast<std::ptrdiff_t>(rows[y + radius]) * width;
  };
  for (int y = 0; y < height; ++y) {
    float* __restrict to = destination + static_cast<std::ptrdiff_t>(y) * width;
    const float* __restrict middle = row(y);
    for (int x = 0; x < width; ++x) to[x] = center * middle[x];
    for (int k = 1; k <= radius; ++k) {
      const float weight = weights[k];
      const float* __restrict above = row(y - k);
      const float* __restrict below = row(y + k);
      for (int x = 0; x < width; ++x) to[x] += weight * (above[x] + below[x]);
    }
  }
}

/// `padded` has room for width + 2 radius values.
CLR_MULTIVERSION void blur_rows(const float* source, const int* columns, int width, int height,
                                const float* weights, int radius, float* __restrict padded,
                                float* destination) {
  const float center = weights[0];
  for (int y = 0; y < height; ++y) {
    const float* __restrict from = source + static_cast<std::ptrdiff_t>(y) * width;
    for (int x = 0; x < radius; ++x) {
      padded[x] = from[columns[x]];
      padded[radius + width + x] = from[columns[radius + width + x]];
    }
    for (int x = 0; x < width; ++x) padded[radius + x] = from[x];

    float* __restrict to = destination + static_cast<std::ptrdiff_t>(y) * width;
    const float* middle = padded + radius;
    for (int x = 0; x < width; ++x) to[x] = center * middle[x];
    for (int k = 1; k <= radius; ++k) {
      const float weight = weights[k];
      for (int x = 0; x < width; ++x) to[x] += weight * (middle[x - k] + middle[x + k]);
    }
  }
}

/// Convolves with a Gaussian over a reflected border.
///
/// Draws:   0: whether; 1: sigma.
/// Values:  0: sigma.
/// Source:  torchvision's GaussianBlur on float tensors; its 2-D kernel is the product of the
///          two passes made here.
class GaussianBlur : public Augmentation {
 public:
  explicit GaussianBlur(const Options& options) : options_(options) {}

  OpId id() const override { return OpId::gaussian_blur; }

  std::optional<Size> output_size(std::optional<Size> in, const Place& place) const override {
    if (in && options_.kernel > 2 * std::min(in->width, in->height) - 1) {
      (place / "kernel")
          .fail(fmt::format("expected at most {} (2 * side - 1) for images of {} x {}, got {}",
                            2 * std::min(in->width, in->height) - 1, in->width, in->height,
                            options_.kernel));
    }
    return in;
  }

  OpParameters sample(const SampleContext& context) const override {
    OpParameters parameters;
    parameters.out = context.in;
    parameters.active = context.rng.uniform(0) < options_.p;
    parameters.values[0] =
        static_cast<float>(context.rng.uniform(1, options_.sigma[0], options_.sigma[1]));
    return parameters;
  }

  Json describe(const OpParameters& parameters) const override {
    return {{"sigma", parameters.values[0]}};
  }

  void apply(const OpParameters& parameters, Planes& planes) const override {
    thread_local std::vector<float> weights;
    thread_local std::vector<int> rows;
    thread_local std::vector<int> columns;
    thread_local std::vector<float> padded;
    thread_local std::vector<float> half;
    make_blur_weights(options_.kernel, static_cast<double>(parameters.values[0]), weights);
    const int radius = static_cast<int>(weights.size()) - 1;
    if (radius == 0) return;

    make_reflection(planes.height, radius, rows);
    make_reflection(planes.width, radius, columns);
    padded.resize(columns.size());
    half.resize(planes.plane_size());
    for (int c = 0; c < 3; ++c) {
      blur_columns(planes.plane(c), rows.data(), planes.width, planes.height, weights.data(),
                   radius, half.data());
      blur_rows(half.data(), columns.data(), planes.width, planes.height, weights.data(), radius,
                padded.data(), planes.plane(c));
    }
    trim_scratch(half);
  }

  std::unique_ptr<Augmentation> as(AugmentCompat compat) const override;
  std::optional<Stage> stage() const override {
    Stage stage{StageKind::blur};
    stage.kernel = options_.kernel;
    return stage;
  }

 protected:
  const Options& options() const { return options_; }

 private:
  Options options_;
};

/// Source:  torchvision's GaussianBlur on Pillow images, which rounds what its floats give.
class PilGaussianBlur final : public GaussianBlur {
 public:
  using GaussianBlur::GaussianBlur;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    GaussianBlur::apply(parameters, planes);
    pil::round_to_bytes(planes);
  }
  std::optional<Stage> stage() const override { return std::nullopt; }
};

/// Over a border of zeros, of values held to [0, 1]; sigma is drawn for each image, where SimCLR
/// draws one for all images of a device.
///
/// Source:  SimCLR's data_util.py, gaussian_blur.
class TfGaussianBlur final : public GaussianBlur {
 public:
  using GaussianBlur::GaussianBlur;
  void apply(const OpParameters& parameters, Planes& planes) const override {
    thread_local std::vector<float> weights;
    for (float& value : planes.values) value = clamp_unit(value);
    make_blur_weights(options().kernel, static_cast<double>(parameters.values[0]), weights);
    tf::blur(planes, weights);
  }
  std::optional<Stage> stage() const override { return std::nullopt; }
};

std::unique_ptr<Augmentation> GaussianBlur::as(AugmentCompat compat) const {
  if (compat == AugmentCompat::pil) return std::make_unique<PilGaussianBlur>(options_);
  if (compat == AugmentCompat::simclr_tf) return std::make_unique<TfGaussianBlur>(options_);
  return nullptr;
}

}  // namespace

AugmentationEntry gaussian_blur_entry() {
  return make_entry<std::unique_ptr<Augmentation>, Options>(
      "gaussian_blur", "convolves with a Gaussian of random width over a reflected border",
      [](const Options& options) { return std::make_unique<GaussianBlur>(options); });
}

}  // namespace clr
