// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace clr {

/// Weights of a Gaussian at distance 0, 1, ... within a kernel of `kernel` pixels, without the
/// negligible ones at its ends; they sum to 1 over both sides.
void make_blur_weights(std::int64_t kernel, double sigma, std::vector<float>& weights);

/// Where a reflected border takes positions -radius to size + radius from (the edge itself is not
/// repeated): size + 2 radius entries.
void make_reflection(int size, int radius, std::vector<int>& positions);

}  // namespace clr
