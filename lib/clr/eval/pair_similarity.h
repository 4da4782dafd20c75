// SPDX-License-Identifier: Apache-2.0
// How far a model's similarities of pairs go with scores that people gave.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace clr {

/// Ranks from 1, equal values their mean rank. Values are finite.
std::vector<double> mean_ranks(const std::vector<double>& values);

/// Pearson's correlation; 0 where either side has one value alone. As many of each, two or more.
double pearson(const std::vector<double>& a, const std::vector<double>& b);

/// Spearman's correlation: Pearson's of the mean ranks, as SciPy's spearmanr.
double spearman(const std::vector<double>& a, const std::vector<double>& b);

struct PairAgreement {
  std::int64_t pairs = 0;
  double spearman = 0.0;
  double pearson = 0.0;
  std::array<double, 2> spearman_ci95{0.0, 0.0};  ///< bootstrap over pairs, percentiles
};

/// Both correlations, and how sure Spearman's is: 1,000 resamples of the pairs, drawn by `seed`.
/// At least two pairs.
///
/// Cost:    1,000 sorts of the pairs.
/// Source:  Efron and Tibshirani, An Introduction to the Bootstrap, 13.3 (the percentile interval).
PairAgreement agree_on_pairs(const std::vector<double>& similarities,
                             const std::vector<double>& scores, std::uint64_t seed);

}  // namespace clr
