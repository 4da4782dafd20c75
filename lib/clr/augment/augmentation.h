// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "clr/augment/resample.h"
#include "clr/config/registry.h"
#include "clr/core/image.h"
#include "clr/core/rng.h"

namespace clr {

/// Whose operations a chain has: torchvision's on float tensors, torchvision's on Pillow images (8
/// bits after each operation), or those of SimCLR's own TensorFlow code.
enum class AugmentCompat { torchvision, pil, simclr_tf };
constexpr auto enum_names(AugmentCompat) { return std::array{"torchvision", "pil", "simclr-tf"}; }

/// What an operation needs to draw its parameters: its draws, and the size of what it is given.
struct SampleContext {
  Rng rng;
  Size in;
};

/// The drawn parameters of one operation on one view: a value, for any executor and for tests.
struct OpParameters {
  bool active = true;             ///< false: the operation is the identity this time
  Size out;                       ///< size of what the operation leaves
  Region box;                     ///< random_resized_crop, resize, center_crop: what is read
  std::array<float, 4> values{};  ///< factors, in the order the operation documents
  std::array<std::uint8_t, 4> order{0, 1, 2, 3};  ///< color_jitter: order of its four parts

  bool operator==(const OpParameters&) const = default;
};

/// Operations that the fused executor knows, in the one order in which it fuses them.
enum class StageKind : std::uint8_t { crop, flip, jitter, gray, blur, solarize, normalize };

/// An operation as the fused executor needs it: what it is, and what its parameters do not say.
struct Stage {
  StageKind kind = StageKind::crop;
  Interpolation interpolation = Interpolation::bilinear;  ///< crop
  std::int64_t kernel = 1;                                ///< blur: side of the kernel
  std::array<float, 3> mean{};                            ///< normalize
  std::array<float, 3> std{1.0F, 1.0F, 1.0F};
};

/// One operation of an augmentation chain.
///
/// Sampling is apart from applying, so that parameters can be injected, printed and replayed.
/// Both are const and thread-safe.
class Augmentation {
 public:
  virtual ~Augmentation() = default;

  /// Owner of this operation's draws (OpId::none for an operation that draws nothing).
  virtual OpId id() const = 0;

  /// Size of what the operation leaves of images of size `in` (nothing: it differs from image to
  /// image), as far as the configuration fixes it.
  ///
  /// Throws:  Error{config} below `place` when the operation cannot work at that size.
  virtual std::optional<Size> output_size(std::optional<Size> in, const Place& place) const {
    static_cast<void>(place);
    return in;
  }

  /// Draws the parameters from context.rng; a pure function of its arguments.
  ///
  /// Throws:  Error{data} for an image of which the operation would make a monstrous one.
  virtual OpParameters sample(const SampleContext& context) const = 0;

  /// The drawn parameters under their names, for people and scripts: an object, {} for an operation
  /// that draws nothing but whether. Not asked when parameters.active is false.
  virtual Json describe(const OpParameters& parameters) const = 0;

  /// The part of its input that apply() reads, in input pixels; nothing = all of it. The caller
  /// hands apply() just that part, so that the rest need not be converted, or even decoded. Not
  /// asked, like apply(), when parameters.active is false.
  virtual std::optional<Region> source(const OpParameters&) const { return std::nullopt; }

  /// Applies the operation in place. `planes` holds source(parameters), values in [0, 1] (whatever
  /// range normalize left, after normalize); afterwards its size is parameters.out.
  virtual void apply(const OpParameters& parameters, Planes& planes) const = 0;

  /// The same operation as `compat` has it; null: it is no other than this one.
  virtual std::unique_ptr<Augmentation> as(AugmentCompat compat) const {
    static_cast<void>(compat);
    return nullptr;
  }

  /// What the fused executor may render in place of apply(), as the same function; nothing: a chain
  /// with this operation runs op by op.
  virtual std::optional<Stage> stage() const { return std::nullopt; }
};

/// {"x", "y", "width", "height"}: how describe() writes a region of the operation's input.
inline Json region_json(const Region& region) {
  return {{"x", region.x}, {"y", region.y}, {"width", region.width}, {"height", region.height}};
}

/// [width, height]: how describe() writes a size.
inline Json size_json(Size size) { return Json::array({size.width, size.height}); }

using AugmentationEntry = Entry<std::unique_ptr<Augmentation>>;
using AugmentationRegistry = Registry<std::unique_ptr<Augmentation>>;

/// Every operation that a chain can name.
const AugmentationRegistry& augmentations();

template <>
struct ComponentTraits<Augmentation> {
  static const ComponentTable& table() { return augmentations(); }
};

}  // namespace clr
