// SPDX-License-Identifier: Apache-2.0
#include "clr/augment/blur_kernel.h"

#include <cmath>
#include <cstddef>

namespace clr {
namespace {

/// Weight that may be cut off at the two ends of a kernel together: with both directions, it moves
/// no value by more than 3e-5, which is 0.008 of a step of 8 bits.
constexpr double kNegligible = 1.5e-5;

/// Where a reflected border takes position `i` from (the edge itself is not repeated).
int reflect(int i, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  const int phase = ((i % period) + period) % period;
  return phase < size ? phase : period - phase;
}

}  // namespace

void make_blur_weights(std::int64_t kernel, double sigma, std::vector<float>& weights) {
  const auto radius = static_cast<std::size_t>(kernel / 2);
  thread_local std::vector<double> wide;
  wide.resize(radius + 1);
  double total = 0.0;
  for (std::size_t k = 0; k <= radius; ++k) {
    const double x = static_cast<double>(k) / sigma;
    wide[k] = std::exp(-0.5 * x * x);
    total += k == 0 ? wide[k] : 2.0 * wide[k];
  }
  std::size_t kept = radius;
  double cut = 0.0;
  while (kept > 0 && cut + 2.0 * wide[kept] <= kNegligible * total) cut += 2.0 * wide[kept--];
  weights.resize(kept + 1);
  for (std::size_t k = 0; k <= kept; ++k) weights[k] = static_cast<float>(wide[k] / (total - cut));
}

void make_reflection(int size, int radius, std::vector<int>& positions) {
  positions.resize(static_cast<std::size_t>(size + 2 * radius));
  for (int i = -radius; i < size + radius; ++i) {
    positions[static_cast<std::size_t>(i + radius)] = reflect(i, size);
  }
}

}  // namespace clr
