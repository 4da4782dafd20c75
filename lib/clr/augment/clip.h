// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "clr/augment/augmentation.h"

namespace clr {

/// Holds values to [0, 1]: no operation of its own, but what augment.compat = simclr-tf adds to a
/// chain before normalize, or at its end.
std::unique_ptr<Augmentation> make_clip();

}  // namespace clr
