// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/augmentation.h"

// Every operation, in the order of the documentation. Each is one file of this folder, NAME.cpp,
// that defines NAME_entry().
#define CLR_AUGMENTATIONS(X) \
  X(random_resized_crop)     \
  X(horizontal_flip)         \
  X(color_jitter)            \
  X(grayscale)               \
  X(gaussian_blur)           \
  X(solarize)                \
  X(normalize)               \
  X(resize)                  \
  X(center_crop)

namespace clr {

#define CLR_DECLARE(name) AugmentationEntry name##_entry();
CLR_AUGMENTATIONS(CLR_DECLARE)
#undef CLR_DECLARE

const AugmentationRegistry& augmentations() {
#define CLR_ENTRY(name) name##_entry(),
  static const AugmentationRegistry registry({CLR_AUGMENTATIONS(CLR_ENTRY)});
#undef CLR_ENTRY
  return registry;
}

}  // namespace clr
