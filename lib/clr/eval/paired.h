// SPDX-License-Identifier: Apache-2.0
// How sure it is that one classifier is better than another.
#pragma once

#include <array>
#include <cstdint>

namespace clr {

/// 95 % bootstrap interval of an accuracy, as fractions: the percentiles of what resampling the test
/// images gives, not of some resamples but of all of them: correct answers in a resample are
/// binomial. [0, 1] for no trials.
///
/// Source:  Efron and Tibshirani, An Introduction to the Bootstrap, 13.3 (the percentile interval).
std::array<double, 2> bootstrap_interval(std::int64_t correct, std::int64_t total);

/// Two results on the same images.
struct PairedCounts {
  std::int64_t both = 0;         ///< right in both
  std::int64_t first_only = 0;   ///< right in the first alone
  std::int64_t second_only = 0;  ///< right in the second alone
  std::int64_t neither = 0;

  std::int64_t total() const { return both + first_only + second_only + neither; }
};

struct PairedComparison {
  double difference = 0.0;               ///< accuracy of the first less that of the second
  std::array<double, 2> ci95{0.0, 0.0};  ///< of it: bootstrap over images, as above
  double p_value = 1.0;                  ///< McNemar's test, exact, two-sided
  /// Images with which a test at 5 % would see this difference four times in five; 0: there is no
  /// difference to be seen.
  std::int64_t images_needed = 0;
};

/// Compares two classifiers on the same images. counts.total() >= 1.
///
/// Cost:    with m images on which they differ, about 100 * m additions.
/// Source:  McNemar, Psychometrika 12 (1947), by the exact binomial of the images that one alone
///          has right; Connor, Biometrics 43 (1987) for the number of images.
PairedComparison compare_paired(const PairedCounts& counts);

}  // namespace clr
