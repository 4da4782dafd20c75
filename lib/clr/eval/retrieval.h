// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace clr {

/// How well images of a class find each other.
struct Retrieval {
  std::int64_t queries = 0;  ///< that were asked, of those whose class the gallery has
  /// (k, share of queries with one of their class among the k nearest).
  std::vector<std::pair<std::int64_t, double>> recall;
  double mean_average_precision = 0.0;
};

/// Ranks a gallery by cosine for each query.
///
/// Shapes:  gallery [n, F], queries [m, F], floating point; labels [n], [m] int64. On the CPU.
///          Of more than `most_queries` queries, that many are asked, evenly chosen.
/// Ties:    recall: the smaller gallery row first; average precision: equal cosines are one step,
///          as scikit-learn's average_precision_score has it.
/// Memory:  4 * F * (n + m) bytes, and blocks of about 64 MB.
/// Throws:  c10::Error for other shapes. No query whose class is in the gallery: zeros.
Retrieval judge_retrieval(const torch::Tensor& gallery, const torch::Tensor& gallery_labels,
                          const torch::Tensor& queries, const torch::Tensor& query_labels,
                          const std::vector<std::int64_t>& k, std::int64_t most_queries);

/// Accuracy of the nearest class centroid: the mean of a class's unit rows, by cosine. Ties: the
/// smallest label.
///
/// Shapes:  train [n, F], test [m, F] floating point, labels [n], [m] int64 in [0, classes).
///          Computed in float64. Classes without a training row are never nearest.
double centroid_accuracy(const torch::Tensor& train, const torch::Tensor& train_labels,
                         const torch::Tensor& test, const torch::Tensor& test_labels,
                         std::int64_t classes);

}  // namespace clr
