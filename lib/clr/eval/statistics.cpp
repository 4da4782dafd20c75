// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/statistics.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <numeric>

#include "clr/core/rng.h"

namespace clr {
namespace {

/// 0.975 quantile of the normal distribution.
constexpr double kNormal95 = 1.959963984540054;

/// Probability that |T| < t for Student's T, with t = sqrt(degrees) * tan(angle): a finite sum.
double student_t_within(double angle, std::int64_t degrees) {
  const double sine = std::sin(angle);
  const double cosine = std::cos(angle);
  const bool odd = degrees % 2 == 1;
  double sum = 0.0;
  double term = odd ? cosine : 1.0;
  for (std::int64_t power = odd ? 1 : 0; power <= degrees - 2; power += 2) {
    sum += term;
    term *= cosine * cosine * static_cast<double>(power + 1) / static_cast<double>(power + 2);
  }
  return odd ? 2.0 / std::numbers::pi * (angle + sine * sum) : sine * sum;
}

/// The rows of each class, classes in ascending order.
std::map<std::int64_t, std::vector<std::int64_t>> rows_by_class(
    const std::vector<std::int64_t>& labels) {
  std::map<std::int64_t, std::vector<std::int64_t>> rows_of;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    rows_of[labels[i]].push_back(static_cast<std::int64_t>(i));
  }
  return rows_of;
}

/// For each class, `count(n_c)` of its n_c rows, by a permutation of the rows that depends on the
/// seed and the class alone: this is what makes the choices nested. Marks them among all rows.
std::vector<bool> choose(const std::vector<std::int64_t>& labels, OpId op, std::uint64_t seed,
                         const std::function<std::int64_t(std::int64_t)>& count) {
  std::vector<bool> chosen(labels.size(), false);
  for (const auto& [label, rows] : rows_by_class(labels)) {
    const Permutation order(seed, static_cast<std::uint32_t>(label), rows.size(), op);
    const std::int64_t wanted = count(static_cast<std::int64_t>(rows.size()));
    for (std::int64_t position = 0; position < wanted; ++position) {
      const auto row = rows[order(static_cast<std::uint64_t>(position))];
      chosen[static_cast<std::size_t>(row)] = true;
    }
  }
  return chosen;
}

std::vector<std::int64_t> rows_where(const std::vector<bool>& chosen, bool value) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    if (chosen[i] == value) rows.push_back(static_cast<std::int64_t>(i));
  }
  return rows;
}

std::int64_t share(double fraction, std::int64_t count) {
  return std::llround(fraction * static_cast<double>(count));
}

}  // namespace

double top_k_accuracy(const torch::Tensor& probabilities, const torch::Tensor& labels,
                      std::int64_t k) {
  TORCH_CHECK(probabilities.dim() == 2 && labels.dim() == 1 && labels.size(0) > 0 &&
                  probabilities.size(0) == labels.size(0) && k >= 1,
              "top_k_accuracy: probabilities ", probabilities.sizes(), ", labels ", labels.sizes(),
              ", k ", k);
  const torch::Tensor label = labels.unsqueeze(1);
  const torch::Tensor own = probabilities.gather(1, label);
  const torch::Tensor classes = at::arange(probabilities.size(1), labels.options()).unsqueeze(0);
  // In the negative, so that a row that is not finite is never right.
  const torch::Tensor behind =
      (probabilities < own) | ((probabilities == own) & (classes >= label));
  const torch::Tensor before = behind.logical_not();
  const auto correct = (before.sum(1) < k).sum().item<std::int64_t>();
  return static_cast<double>(correct) / static_cast<double>(labels.size(0));
}

std::array<double, 2> wilson_interval(std::int64_t correct, std::int64_t total) {
  if (total == 0) return {0.0, 1.0};
  const auto n = static_cast<double>(total);
  const double p = static_cast<double>(correct) / n;
  const double z2 = kNormal95 * kNormal95;
  const double centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
  const double half =
      kNormal95 * std::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n)) / (1.0 + z2 / n);
  // Rounding must not move the ends that are known.
  return {correct == 0 ? 0.0 : std::max(0.0, centre - half),
          correct == total ? 1.0 : std::min(1.0, centre + half)};
}

double student_t(std::int64_t degrees, double within) {
  double low = 0.0;
  double high = std::numbers::pi / 2.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (student_t_within(middle, degrees) < within ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(degrees)) * std::tan(0.5 * (low + high));
}

Summary summarize(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Summary summary;
  summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double half = 0.0;
  if (values.size() > 1) {
    double squares = 0.0;
    for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
    summary.deviation = std::sqrt(squares / (n - 1.0));
    half = student_t(static_cast<std::int64_t>(values.size()) - 1, 0.95) * summary.deviation /
           std::sqrt(n);
  }
  summary.ci95 = {summary.mean - half, summary.mean + half};
  return summary;
}

Split stratified_split(const std::vector<std::int64_t>& labels, double fraction,
                       std::uint64_t seed) {
  const auto second = choose(labels, OpId::holdout, seed, [&](std::int64_t count) {
    return std::min(std::max(share(fraction, count), std::int64_t{1}), count - 1);
  });
  return {rows_where(second, false), rows_where(second, true)};
}

std::vector<std::int64_t> stratified_folds(const std::vector<std::int64_t>& labels,
                                           std::int64_t folds, std::uint64_t seed) {
  std::vector<std::int64_t> fold_of(labels.size());
  std::int64_t dealt = 0;  // On and on over the classes, so that folds are as large as each other.
  for (const auto& [label, rows] : rows_by_class(labels)) {
    const Permutation order(seed, static_cast<std::uint32_t>(label), rows.size(), OpId::holdout);
    for (std::size_t position = 0; position < rows.size(); ++position)
      fold_of[static_cast<std::size_t>(rows[order(position)])] = dealt++ % folds;
  }
  return fold_of;
}

std::vector<std::int64_t> per_class_subset(const std::vector<std::int64_t>& labels,
                                           std::int64_t per_class, std::uint64_t seed) {
  return rows_where(choose(labels, OpId::subset, seed,
                           [&](std::int64_t count) { return std::min(per_class, count); }),
                    true);
}

std::vector<std::int64_t> fraction_subset(const std::vector<std::int64_t>& labels, double fraction,
                                          std::uint64_t seed) {
  return rows_where(choose(labels, OpId::subset, seed,
                           [&](std::int64_t count) {
                             return std::min(std::max(share(fraction, count), std::int64_t{1}),
                                             count);
                           }),
                    true);
}

}  // namespace clr
