// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/resample_taps.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace clr {
namespace {

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double keys_cubic(double x) {
  constexpr double kA = -0.5;
  const double t = std::abs(x);
  if (t < 1.0) return ((kA + 2.0) * t - (kA + 3.0)) * t * t + 1.0;
  if (t < 2.0) return (((t - 5.0) * t + 8.0) * t - 4.0) * kA;
  return 0.0;
}

}  // namespace

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

}  // namespace clr
