// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "clr/config/fields.h"

namespace clr {

/// majority: each neighbour one vote; temperature: exp(cosine / temperature) votes.
enum class KnnWeighting { majority, temperature };
constexpr auto enum_names(KnnWeighting) { return std::array{"majority", "temperature"}; }

/// The `knn` section.
struct KnnConfig {
  std::vector<std::int64_t> k{10, 20, 200};
  std::vector<KnnWeighting> weighting{KnnWeighting::majority, KnnWeighting::temperature};
  double temperature = 0.1;

  static void fields(auto&& f) {
    f("k", &KnnConfig::k, In{1, 1e6}, "numbers of neighbours");
    f("weighting", &KnnConfig::weighting, "how neighbours vote");
    f("temperature", &KnnConfig::temperature, Above{0}, "of the weighted vote");
  }
};

struct KnnResult {
  std::int64_t k = 0;  ///< as asked for; at most the number of training images is used
  KnnWeighting weighting = KnnWeighting::majority;
  double top1 = 0.0;  ///< fraction
};

/// Cosine k-nearest-neighbour accuracy for a whole grid of k and weightings in one pass.
///
/// Shapes:  train [n, F], test [m, F] float32, labels [n], [m] int64 in [0, classes). On the CPU.
/// Ties:    neighbours of equal similarity: the smaller training index; classes of equal vote: the
///          smallest label.
/// Memory:  a normalised copy of both sets, and blocks of test rows against all training rows of
///          about 64 MB.
/// Throws:  c10::Error for other shapes, or labels out of range.
/// Source:  Wu et al., arXiv:1805.01978 (weighted vote).
std::vector<KnnResult> knn_grid(const torch::Tensor& train, const torch::Tensor& train_labels,
                                const torch::Tensor& test, const torch::Tensor& test_labels,
                                std::int64_t classes, const KnnConfig& config);

/// Accuracy of one (k, weighting) when each image is judged by all others of the same set (at least
/// two; an equal image elsewhere in the set is a neighbour like any other).
double knn_leave_one_out(const torch::Tensor& features, const torch::Tensor& labels,
                         std::int64_t classes, std::int64_t k, KnnWeighting weighting,
                         double temperature);

struct Neighbors {
  torch::Tensor rows;     ///< [m, k] int64, of the searched set, nearest first
  torch::Tensor cosines;  ///< [m, k] float32
};

/// The rows of a set that are nearest to each query by cosine.
///
/// Shapes:  set [n, F], queries [m, F], float32. k is at most n.
/// Memory:  a normalised copy of both, and 4 * m * n bytes: for a few queries.
Neighbors nearest_neighbors(const torch::Tensor& set, const torch::Tensor& queries, std::int64_t k);

}  // namespace clr
