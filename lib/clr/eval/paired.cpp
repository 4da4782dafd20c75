// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/paired.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace clr {
namespace {

double log_choose(double n, double k) {
  return std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0);
}

/// Probability of k successes in n trials of probability p.
double binomial(std::int64_t n, std::int64_t k, double p) {
  if (p <= 0.0) return k == 0 ? 1.0 : 0.0;
  if (p >= 1.0) return k == n ? 1.0 : 0.0;
  const auto trials = static_cast<double>(n);
  const auto successes = static_cast<double>(k);
  return std::exp(log_choose(trials, successes) + successes * std::log(p) +
                  (trials - successes) * std::log1p(-p));
}

/// The numbers of successes that are likely enough to matter: within ten deviations of the mean.
std::array<std::int64_t, 2> likely(std::int64_t n, double p) {
  const auto trials = static_cast<double>(n);
  const double reach = 10.0 * std::sqrt(trials * p * (1.0 - p)) + 10.0;
  return {std::max(std::int64_t{0}, static_cast<std::int64_t>(trials * p - reach)),
          std::min(n, static_cast<std::int64_t>(trials * p + reach))};
}

/// The least values at which a distribution's sum reaches 2.5 % and 97.5 %.
std::array<std::int64_t, 2> percentiles(const std::map<std::int64_t, double>& probabilities) {
  std::array<std::int64_t, 2> bounds{probabilities.begin()->first, probabilities.rbegin()->first};
  double sum = 0.0;
  bool low_found = false;
  // Rounding must not carry a sum that is 2.5 % past its value.
  constexpr double kRounding = 1e-12;
  for (const auto& [value, probability] : probabilities) {
    sum += probability;
    if (!low_found && sum >= 0.025 - kRounding) {
      bounds[0] = value;
      low_found = true;
    }
    if (sum >= 0.975 - kRounding) {
      bounds[1] = value;
      break;
    }
  }
  return bounds;
}

/// first_only - second_only in a resample: images that differ are binomial, and among them those
/// that the first has right.
std::array<double, 2> difference_interval(const PairedCounts& counts) {
  const std::int64_t n = counts.total();
  const std::int64_t differ = counts.first_only + counts.second_only;
  if (differ == 0) return {0.0, 0.0};
  const double share = static_cast<double>(differ) / static_cast<double>(n);
  const double first = static_cast<double>(counts.first_only) / static_cast<double>(differ);
  std::map<std::int64_t, double> probabilities;
  const auto [least, most] = likely(n, share);
  for (std::int64_t m = least; m <= most; ++m) {
    const double of_m = binomial(n, m, share);
    if (of_m < 1e-14) continue;
    const auto [low, high] = likely(m, first);
    for (std::int64_t k = low; k <= high; ++k)
      probabilities[2 * k - m] += of_m * binomial(m, k, first);
  }
  const auto bounds = percentiles(probabilities);
  const auto total = static_cast<double>(n);
  return {static_cast<double>(bounds[0]) / total, static_cast<double>(bounds[1]) / total};
}

double mcnemar(const PairedCounts& counts) {
  const std::int64_t differ = counts.first_only + counts.second_only;
  double tail = 0.0;
  for (std::int64_t k = 0; k <= std::min(counts.first_only, counts.second_only); ++k)
    tail += binomial(differ, k, 0.5);
  return std::min(1.0, 2.0 * tail);
}

std::int64_t images_needed(double difference, double differing) {
  if (difference == 0.0) return 0;
  constexpr double kSignificance = 1.959963984540054;
  constexpr double kPower = 0.8416212335729143;  // four in five
  const double root = kSignificance * std::sqrt(differing) +
                      kPower * std::sqrt(differing - difference * difference);
  return static_cast<std::int64_t>(std::ceil(root * root / (difference * difference)));
}

}  // namespace

std::array<double, 2> bootstrap_interval(std::int64_t correct, std::int64_t total) {
  if (total == 0) return {0.0, 1.0};
  const double p = static_cast<double>(correct) / static_cast<double>(total);
  std::map<std::int64_t, double> probabilities;
  const auto [least, most] = likely(total, p);
  for (std::int64_t k = least; k <= most; ++k) probabilities[k] = binomial(total, k, p);
  const auto bounds = percentiles(probabilities);
  return {static_cast<double>(bounds[0]) / static_cast<double>(total),
          static_cast<double>(bounds[1]) / static_cast<double>(total)};
}

PairedComparison compare_paired(const PairedCounts& counts) {
  const auto total = static_cast<double>(counts.total());
  PairedComparison result;
  result.difference = static_cast<double>(counts.first_only - counts.second_only) / total;
  result.ci95 = difference_interval(counts);
  result.p_value = mcnemar(counts);
  result.images_needed = images_needed(
      result.difference, static_cast<double>(counts.first_only + counts.second_only) / total);
  return result;
}

}  // namespace clr
