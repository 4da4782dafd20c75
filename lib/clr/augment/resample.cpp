// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/resample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "clr/augment/pixel_math.h"
#include "clr/core/multiversion.h"

namespace clr {
namespace {

/// One direction of a resize: pixel i of the output is the sum over k < count of
/// weights[k * out + i] * input[start[i] + k].
struct Taps {
  int count = 0;
  std::vector<int> start;
  std::vector<float> weights;
  std::vector<double> wide;  ///< [out, limit], while the taps are made
  std::vector<int> first;
};

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double keys_cubic(double x) {
  constexpr double kA = -0.5;
  const double t = std::abs(x);
  if (t < 1.0) return ((kA + 2.0) * t - (kA + 3.0)) * t * t + 1.0;
  if (t < 2.0) return (((t - 5.0) * t + 8.0) * t - 4.0) * kA;
  return 0.0;
}

void make_taps(int in, int out, Interpolation interpolation, Taps& taps) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = (interpolation == Interpolation::bilinear ? 1.0 : 2.0) * stretch;
  const int limit = std::min(in, 2 * static_cast<int>(std::ceil(support)) + 1);

  const auto outputs = static_cast<std::size_t>(out);
  taps.first.resize(outputs);
  taps.start.resize(outputs);
  taps.wide.assign(outputs * static_cast<std::size_t>(limit), 0.0);
  taps.count = 1;
  for (int i = 0; i < out; ++i) {
    const double center = scale * (i + 0.5);
    int first = std::max(static_cast<int>(center - support + 0.5), 0);
    int last = std::min(static_cast<int>(center + support + 0.5), in) - 1;
    last = std::min(last, first + limit - 1);
    double* wide = taps.wide.data() + static_cast<std::size_t>(i) * static_cast<std::size_t>(limit);
    double total = 0.0;
    for (int j = first; j <= last; ++j) {
      const double x = (j - center + 0.5) / stretch;
      wide[j - first] = interpolation == Interpolation::bilinear ? triangle(x) : keys_cubic(x);
      total += wide[j - first];
    }
    for (int j = first; j <= last; ++j) wide[j - first] /= total;
    int length = last - first + 1;
    while (length > 1 && wide[length - 1] == 0.0) --length;
    taps.first[static_cast<std::size_t>(i)] = first;
    taps.count = std::max(taps.count, length);
  }

  // Every output gets the same number of taps, moved inward where they would leave the input.
  taps.weights.assign(outputs * static_cast<std::size_t>(taps.count), 0.0F);
  for (std::size_t i = 0; i < outputs; ++i) {
    const int start = std::min(taps.first[i], in - taps.count);
    const int shift = taps.first[i] - start;
    taps.start[i] = start;
    const double* wide = taps.wide.data() + i * static_cast<std::size_t>(limit);
    for (int k = shift; k < taps.count; ++k) {
      taps.weights[static_cast<std::size_t>(k) * outputs + i] = static_cast<float>(wide[k - shift]);
    }
  }
}

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
