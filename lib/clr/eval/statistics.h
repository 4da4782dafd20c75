// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <vector>

namespace clr {

/// Share of rows whose label is among the k most probable classes (ties in favour of the smaller
/// class number). Rows that are not finite are wrong.
///
/// Shapes:  probabilities [n, C], labels [n] int64 in [0, C), n >= 1. k >= 1.
double top_k_accuracy(const torch::Tensor& probabilities, const torch::Tensor& labels,
                      std::int64_t k);

/// 95 % Wilson score interval of `correct` successes in `total` trials, as fractions; [0, 1] for
/// no trials.
///
/// Source:  Wilson, J. Am. Stat. Assoc. 22 (1927).
std::array<double, 2> wilson_interval(std::int64_t correct, std::int64_t total);

struct Summary {
  double mean = 0.0;
  double deviation = 0.0;                ///< sample standard deviation, 0 for one value
  std::array<double, 2> ci95{0.0, 0.0};  ///< Student's t interval of the mean; the value for one
};

/// Mean, deviation and interval of some repetitions. values is not empty.
Summary summarize(const std::vector<double>& values);

/// The t between whose negative and itself lies the share `within` (in [0, 1)) of Student's
/// distribution: student_t(1, 0.95) is 12.706, of many degrees 1.960. At least one degree.
///
/// Source:  Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
double student_t(std::int64_t degrees, double within);

/// A stratified, seeded split: round(fraction * n_c) rows of each class c, at least one and at most
/// n_c - 1 (so none of a class of one), go to `second`. Both are in ascending order.
///
/// Nested: with the same seed a smaller fraction's `second` is a subset of a larger one's.
struct Split {
  std::vector<std::int64_t> first;
  std::vector<std::int64_t> second;
};
Split stratified_split(const std::vector<std::int64_t>& labels, double fraction,
                       std::uint64_t seed);

/// A fold in [0, folds) for each row, seeded and stratified: of each class, and of all, the folds' sizes
/// differ by one at most. folds >= 1.
std::vector<std::int64_t> stratified_folds(const std::vector<std::int64_t>& labels,
                                           std::int64_t folds, std::uint64_t seed);

/// A class-balanced, seeded, nested subset: `per_class` rows of each class (or all, where a class
/// has fewer), in ascending order.
std::vector<std::int64_t> per_class_subset(const std::vector<std::int64_t>& labels,
                                           std::int64_t per_class, std::uint64_t seed);

/// round(fraction * n_c) rows, at least one, of each class, seeded, nested, in ascending order.
std::vector<std::int64_t> fraction_subset(const std::vector<std::int64_t>& labels, double fraction,
                                          std::uint64_t seed);

}  // namespace clr
