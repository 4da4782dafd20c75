// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "clr/augment/augmenter.h"

namespace clr {

/// What all views together read of an image of `size`, where that is little enough of it (70 % of
/// its area) for decoding that alone to save time; `parameters` are those of each view.
std::optional<Region> part_to_decode(const Augmenter& augmenter,
                                     const std::vector<ViewParameters>& parameters, Size size);

}  // namespace clr
