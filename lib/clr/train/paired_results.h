// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "clr/eval/paired.h"

namespace clr {

/// Two evaluations of the same test images, image by image.
struct PairedResults {
  std::string problem;          ///< why they cannot be compared; empty: they are
  std::filesystem::path first;  ///< predictions.csv
  std::filesystem::path second;
  PairedCounts counts;
  PairedComparison comparison;

  /// "A is better by 2.8 points [1.4, 4.2], which chance alone would hardly do (p = 0.00013)".
  std::string str(const std::string& first_name, const std::string& second_name) const;
};

/// Reads predictions.csv of each folder: an evaluation's, or a run's, whose linear evaluation is
/// taken, or else its fine-tuning.
PairedResults compare_predictions(const std::filesystem::path& first,
                                  const std::filesystem::path& second);

}  // namespace clr
