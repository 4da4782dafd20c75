// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "clr/augment/fused_plan.h"

namespace clr {

/// Renders one view of `image` in few sweeps over blocks of rows that stay in the nearest cache:
/// resized and jittered up to the contrast; the rest of the colours; blur; normalised while it is
/// stored.
///
/// The same function as the operations one by one, within 0.05 of 255 (but where a value lies on
/// solarize's threshold), and the same bytes on every instruction set.
/// `parameters` has an entry an operation of the chain; `box` is its crop's in `image`.
/// Memory:  a view's planes and some rows, kept by the thread.
void render_fused(const FusedPlan& plan, const Image& image, const Region& box,
                  std::span<const OpParameters> parameters, const Destination& destination);

}  // namespace clr
