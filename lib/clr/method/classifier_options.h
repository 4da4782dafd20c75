// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "clr/config/fields.h"

namespace clr {

/// What a linear classifier stands on: the encoder's features h, the output of the projection
/// head's first layer (SimCLR v2), or the embedding z.
enum class ClassifierInput { encoder, projector_1, projector };
constexpr auto enum_names(ClassifierInput) {
  return std::array{"encoder", "projector_1", "projector"};
}

/// What the `finetune` section and the method `supervised` have in common.
struct ClassifierOptions {
  ClassifierInput from = ClassifierInput::encoder;
  double head_lr_multiplier = 1.0;
  double layer_decay = 1.0;

  template <class Options>
  static void base_fields(auto&& f) {
    f("from", &Options::from,
      "what the classifier stands on: the encoder's features, the projection head's first layer, "
      "or the whole head");
    f("head_lr_multiplier", &Options::head_lr_multiplier, In{1e-6, 1e6},
      "learning rate of the classifier over that of the layer below it");
    f("layer_decay", &Options::layer_decay, In{1e-3, 1},
      "factor of the learning rate from one stage down to the next: classifier, projection head "
      "(if used), the encoder's stages or blocks from the last to the first, stem");
  }
};

}  // namespace clr
