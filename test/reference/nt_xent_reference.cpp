// SPDX-License-Identifier: Apache-2.0
#include "reference/nt_xent_reference.h"

#include <algorithm>
#include <cmath>

namespace clr::test {

NtXentReference nt_xent_reference(const std::vector<double>& rows, std::size_t n, std::size_t d,
                                  double temperature) {
  constexpr double kMinNorm = 1e-12;
  const std::size_t m = 2 * n;
  const auto partner = [n](std::size_t i) { return i < n ? i + n : i - n; };

  std::vector<double> norm(m);
  std::vector<double> z(m * d);
  for (std::size_t i = 0; i < m; ++i) {
    double squares = 0;
    for (std::size_t k = 0; k < d; ++k) squares += rows[i * d + k] * rows[i * d + k];
    norm[i] = std::sqrt(squares);
    for (std::size_t k = 0; k < d; ++k)
      z[i * d + k] = rows[i * d + k] / std::max(norm[i], kMinNorm);
  }
  const auto dot = [&](std::size_t i, std::size_t j) {
    double sum = 0;
    for (std::size_t k = 0; k < d; ++k) sum += z[i * d + k] * z[j * d + k];
    return sum;
  };

  NtXentReference result;
  std::vector<double> probability(m * m, 0.0);  // of the negatives alone
  std::vector<double> q(m);
  for (std::size_t i = 0; i < m; ++i) {
    const double positive = dot(i, partner(i));
    double ratio = 0;  // Rneg / Epos
    for (std::size_t j = 0; j < m; ++j) {
      if (j == i || j == partner(i)) continue;
      probability[i * m + j] = std::exp((dot(i, j) - positive) / temperature);
      ratio += probability[i * m + j];
    }
    for (std::size_t j = 0; j < m; ++j) probability[i * m + j] /= 1 + ratio;
    q[i] = ratio / (1 + ratio);
    result.loss += std::log1p(ratio) / static_cast<double>(m);
  }

  result.gradient.assign(m * d, 0.0);
  const double scale = 1 / (static_cast<double>(m) * temperature);
  for (std::size_t i = 0; i < m; ++i) {
    double* const gradient = &result.gradient[i * d];
    for (std::size_t j = 0; j < m; ++j) {
      const double weight =
          j == partner(i) ? -(q[i] + q[j]) : probability[i * m + j] + probability[j * m + i];
      for (std::size_t k = 0; k < d; ++k) gradient[k] += scale * weight * z[j * d + k];
    }
    if (norm[i] <= kMinNorm) {
      for (std::size_t k = 0; k < d; ++k) gradient[k] /= kMinNorm;
      continue;
    }
    double radial = 0;
    for (std::size_t k = 0; k < d; ++k) radial += gradient[k] * z[i * d + k];
    for (std::size_t k = 0; k < d; ++k)
      gradient[k] = (gradient[k] - z[i * d + k] * radial) / norm[i];
  }
  return result;
}

}  // namespace clr::test
