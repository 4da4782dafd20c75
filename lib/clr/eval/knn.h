// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "clr/config/fields.h"

namespace clr {

/// majority: each neighbour one vote; temperature: exp(cosine / temperature) votes; distance: one
/// over the distance (1 - cosine, or Euclidean), neighbours at distance 0 alone where there are any.
enum class KnnWeighting { majority, temperature, distance };
constexpr auto enum_names(KnnWeighting) {
  return std::array{"majority", "temperature", "distance"};
}

/// cosine: of the rows as they are; euclidean: their distance.
enum class KnnMetric { cosine, euclidean };
constexpr auto enum_names(KnnMetric) { return std::array{"cosine", "euclidean"}; }

/// The `knn` section.
struct KnnConfig {
  std::vector<std::int64_t> k{10, 20, 200};
  std::vector<KnnMetric> metric{KnnMetric::cosine, KnnMetric::euclidean};
  std::vector<KnnWeighting> weighting{KnnWeighting::majority, KnnWeighting::temperature,
                                      KnnWeighting::distance};
  double temperature = 0.1;
  std::vector<double> temperatures{0.02, 0.05, 0.07, 0.2};

  static void fields(auto&& f) {
    f("k", &KnnConfig::k, In{1, 1e6}, "numbers of neighbours");
    f("metric", &KnnConfig::metric, "what makes neighbours near");
    f("weighting", &KnnConfig::weighting,
      "how neighbours vote: alike, by exp(cosine / temperature), by 1 / distance");
    f("temperature", &KnnConfig::temperature, Above{0}, "of the vote by exp(cosine / temperature)");
    f("temperatures", &KnnConfig::temperatures, Above{0}, "more of them, for the whole grid");
  }
};

/// One cell of the grid.
struct KnnResult {
  std::int64_t k = 0;  ///< as asked for; at most the number of training images is used
  KnnMetric metric = KnnMetric::cosine;
  KnnWeighting weighting = KnnWeighting::majority;
  double temperature = 0.0;  ///< of the weighting by temperature, else 0
  double top1 = 0.0;         ///< fraction
};

/// k-nearest-neighbour accuracy for a whole grid of k, metrics, weightings and temperatures in one
/// pass: one product of all pairs serves both metrics. Weighting by temperature is of cosines alone.
///
/// Shapes:  train [n, F], test [m, F] float32, labels [n], [m] int64 in [0, classes). On the CPU.
/// Ties:    neighbours of equal similarity: the smaller training index; classes of equal vote: the
///          smallest label.
/// Memory:  blocks of test rows against all training rows of about 64 MB.
/// Throws:  c10::Error for other shapes, or labels out of range.
/// Source:  Wu et al., arXiv:1805.01978 (weighted vote); scikit-learn's KNeighborsClassifier
///          (weights="distance").
std::vector<KnnResult> knn_grid(const torch::Tensor& train, const torch::Tensor& train_labels,
                                const torch::Tensor& test, const torch::Tensor& test_labels,
                                std::int64_t classes, const KnnConfig& config);

/// Accuracy by cosine, when each image is judged by all others of the same set (at least two; an
/// equal image elsewhere in the set is a neighbour like any other).
double knn_leave_one_out(const torch::Tensor& features, const torch::Tensor& labels,
                         std::int64_t classes, std::int64_t k, KnnWeighting weighting,
                         double temperature);

struct Neighbors {
  torch::Tensor rows;     ///< [m, k] int64, of the searched set, nearest first
  torch::Tensor cosines;  ///< [m, k] float32
};

/// The rows of a set that are nearest to each query by cosine.
///
/// Shapes:  set [n, F], queries [m, F], float32. k is at most n. Ties: the smaller row of the set.
/// Memory:  a normalised copy of both, and blocks of about 64 MB.
Neighbors nearest_neighbors(const torch::Tensor& set, const torch::Tensor& queries, std::int64_t k);

}  // namespace clr
