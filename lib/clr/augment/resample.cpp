// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/resample.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "clr/augment/pixel_math.h"
#include "clr/augment/resample_taps.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

CLR_MULTIVERSION void clamp_values(float* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) values[i] = clamp_unit(values[i]);
}

/// [in_height, width] -> [out_height, width].
CLR_MULTIVERSION void resize_columns(const float* __restrict source, int width, int out_height,
                                     const int* __restrict start, const float* __restrict weights,
                                     int count, float* __restrict destination) {
  for (int y = 0; y < out_height; ++y) {
    const float* from = source + static_cast<std::ptrdiff_t>(start[y]) * width;
    float* to = destination + static_cast<std::ptrdiff_t>(y) * width;
    const float first = weights[y];
    for (int x = 0; x < width; ++x) to[x] = first * from[x];
    for (int k = 1; k < count; ++k) {
      const float weight = weights[static_cast<std::ptrdiff_t>(k) * out_height + y];
      const float* row = from + static_cast<std::ptrdiff_t>(k) * width;
      for (int x = 0; x < width; ++x) to[x] += weight * row[x];
    }
  }
}

/// [height, in_width] -> [height, out_width].
CLR_MULTIVERSION void resize_rows(const float* __restrict source, int in_width, int height,
                                  int out_width, const int* __restrict start,
                                  const float* __restrict weights, int count,
                                  float* __restrict destination) {
  for (int y = 0; y < height; ++y) {
    const float* from = source + static_cast<std::ptrdiff_t>(y) * in_width;
    float* to = destination + static_cast<std::ptrdiff_t>(y) * out_width;
    for (int x = 0; x < out_width; ++x) to[x] = weights[x] * from[start[x]];
    for (int k = 1; k < count; ++k) {
      const float* weight = weights + static_cast<std::ptrdiff_t>(k) * out_width;
      const float* shifted = from + k;
      for (int x = 0; x < out_width; ++x) to[x] += weight[x] * shifted[start[x]];
    }
  }
}

}  // namespace

void resample(Planes& planes, Size out, Interpolation interpolation) {
  if (planes.size() == out) return;
  thread_local Taps taps;
  thread_local Planes half;

  // Columns first: that pass runs along whole rows, and leaves fewer rows to the other when
  // shrinking.
  if (planes.height != out.height) {
    make_taps(planes.height, out.height, interpolation, taps);
    half.resize({planes.width, out.height});
    for (int c = 0; c < 3; ++c) {
      resize_columns(planes.plane(c), planes.width, out.height, taps.start.data(),
                     taps.weights.data(), taps.count, half.plane(c));
    }
    std::swap(planes, half);
  }
  if (planes.width != out.width) {
    make_taps(planes.width, out.width, interpolation, taps);
    half.resize(out);
    for (int c = 0; c < 3; ++c) {
      resize_rows(planes.plane(c), planes.width, out.height, out.width, taps.start.data(),
                  taps.weights.data(), taps.count, half.plane(c));
    }
    std::swap(planes, half);
  }
  clamp_values(planes.values.data(), planes.values.size());
  trim_scratch(half.values);
}

}  // namespace clr
