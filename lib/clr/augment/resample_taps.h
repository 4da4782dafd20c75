// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "clr/augment/resample.h"

namespace clr {

/// One direction of a resize: pixel i of the output is the sum over k < count of
/// weights[k * out + i] * input[start[i] + k].
struct Taps {
  int count = 0;
  std::vector<int> start;
  std::vector<float> weights;
  std::vector<double> wide;  ///< [out, limit], while the taps are made
  std::vector<int> first;
};

/// The taps of resample() from `in` to `out` pixels; every start[i] + count lies within the input.
void make_taps(int in, int out, Interpolation interpolation, Taps& taps);

}  // namespace clr
