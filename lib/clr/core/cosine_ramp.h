// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace clr {

/// A number that goes along half a cosine from `first` at step 0 to `last` at step `total` > 0.
inline double cosine_ramp(double first, double last, std::int64_t step, std::int64_t total) {
  const double t = static_cast<double>(step) / static_cast<double>(total);
  return last - (last - first) * (1 + std::cos(std::numbers::pi * t)) / 2;
}

}  // namespace clr
