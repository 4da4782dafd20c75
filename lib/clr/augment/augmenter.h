// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "clr/augment/augmentation.h"
#include "clr/config/fields.h"

namespace clr {

/// One entry of `augment.views`: a chain, and how many views are drawn from it.
struct ViewConfig {
  std::int64_t count = 1;
  std::vector<Component<Augmentation>> chain;

  static void fields(auto&& f) {
    f("count", &ViewConfig::count, In{1, 255}, "views drawn with this chain");
    f("chain", &ViewConfig::chain, "operations, in order");
  }
};

/// The `augment` section.
struct AugmentConfig {
  AugmentCompat compat = AugmentCompat::torchvision;
  std::vector<ViewConfig> views;

  static void fields(auto&& f) {
    f("compat", &AugmentConfig::compat,
      "whose operations: torchvision on float tensors, torchvision on Pillow's 8-bit images, or "
      "SimCLR's TensorFlow code; only the first is fused");
    f("views", &AugmentConfig::views, "groups of views, each with its own chain");
  }
};

/// The drawn parameters of one view of one image, an entry an operation.
struct ViewParameters {
  std::vector<OpParameters> ops;

  bool operator==(const ViewParameters&) const = default;
};

/// fused: chains that can be are rendered in one go, the others operation by operation;
/// op_by_op: all are, for comparison.
enum class Rendering { fused, op_by_op };

/// Turns decoded images into views. Stateless and thread-safe.
///
/// Views are numbered over the entries of the configuration, in its order; views whose chains end
/// at the same size form one group. Every chain must fix the size it ends with: random_resized_crop
/// and center_crop do; resize alone does not, since the longer side follows the image.
class Augmenter {
 public:
  /// Throws:  Error{config} for an empty list of views, a chain whose final size depends on the
  ///          image, or a blur kernel that does not fit (kernel <= 2 * side - 1), naming the
  ///          place below `where`, the `augment` section.
  explicit Augmenter(const AugmentConfig& config, const Place& where = Place("augment"),
                     Rendering rendering = Rendering::fused);
  ~Augmenter();
  Augmenter(Augmenter&&) noexcept;

  struct Group {
    Size size;
    std::vector<int> views;  ///< view numbers, in order
  };
  const std::vector<Group>& groups() const;
  int view_count() const;
  /// Size of the finished view.
  Size view_size(int view) const;

  /// Whether the view's chain is rendered in one go.
  bool fused(int view) const;

  /// Draws the parameters of `view` for an image of size `in`. address.view is not read.
  ViewParameters sample(std::uint64_t seed, RngAddress address, int view, Size in) const;

  /// The parameters of one view, a list with an object an operation: "type", "applied", and, where
  /// it is applied, what the operation says of its parameters.
  Json describe(int view, const ViewParameters& parameters) const;

  /// The pixels of the image that render() reads; nothing: all of them.
  std::optional<Region> source(int view, const ViewParameters& parameters) const;

  /// Renders one view with given parameters: values as the chain leaves them, written as
  /// destination.type (bfloat16: rounded to nearest even) in destination.layout. A part of an image
  /// must hold source().
  void render(const PicturePart& image, int view, const ViewParameters& parameters,
              const Destination& destination) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clr
