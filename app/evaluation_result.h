// SPDX-License-Identifier: Apache-2.0
// What evaluations write: accuracies and predictions.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "clr/eval/features.h"
#include "feature_extraction.h"

namespace clr {

/// Features and labels of one split, row by row.
struct JudgedSplit {
  Features features;
  torch::Tensor labels;  ///< [n] in the training set's numbering
};

/// Computes a split's features. Bad images have no row.
/// `labels`: of the whole data set, [dataset->size()].
JudgedSplit extract_split(const FeatureExtractor& extractor, std::shared_ptr<const Dataset> dataset,
                          const std::vector<std::int64_t>& labels, const std::string& title);

/// 95 % interval of an accuracy that was counted on `total` images.
std::array<double, 2> accuracy_interval(double accuracy, std::int64_t total);

/// What a classifier is right about: {"top1", "top5", "ci95" (Wilson), "bootstrap_ci95", "per_class", "most_confused"}, and the
/// matrix {"class_names", "confusion"} (rows: true class) of at most 200 classes. Classes without a
/// test image are left out of "per_class".
///
/// Shapes:  probabilities [n, C] of C `classes`, labels [n] int64.
Json accuracies(const torch::Tensor& probabilities, const torch::Tensor& labels,
                const std::vector<std::string>& classes);

/// CSV: name, label (where `labels` is defined), prediction, and p_CLASS with each probability.
void write_predictions(const std::filesystem::path& path, const std::vector<std::string>& classes,
                       const Dataset& dataset, const Features& features,
                       const torch::Tensor& labels, const torch::Tensor& probabilities);

/// OUT, else RUN/<command> for a run's model, else runs/<command>-TIME.
std::filesystem::path evaluation_folder(const std::string& out, const ModelSource& source,
                                        const std::string& command);

/// Writes names a line, where there are any.
void write_names(const std::filesystem::path& path, const std::vector<std::string>& names);

/// Writes result.json into a folder.
void write_result(const std::filesystem::path& folder, const Json& result);

/// Removes what an earlier evaluation left in a folder, which this one may not write again.
void clear_evaluation(const std::filesystem::path& folder);

}  // namespace clr
