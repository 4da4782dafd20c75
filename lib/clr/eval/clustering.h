// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace clr {

struct Clusters {
  torch::Tensor assignments;    ///< [n] int64 in [0, clusters)
  double inertia = 0.0;         ///< sum of squared distances to the own centre
  std::int64_t iterations = 0;  ///< of the start that was kept
};

/// Lloyd's k-means from greedy k-means++ starts; the start of least inertia is kept.
///
/// Shapes:  rows [n, F] floating point, n >= clusters >= 1. On the CPU, in float32, sums in
///          float64. Draws by `seed` alone. An iteration that moves no row, or the 300th, is the
///          last; a cluster that loses all rows takes the row that is farthest from its centre.
/// Memory:  8 * n * (clusters + F) bytes.
/// Source:  Lloyd, IEEE Trans. Inf. Theory 28 (1982); Arthur and Vassilvitskii, SODA 2007.
Clusters k_means(const torch::Tensor& rows, std::int64_t clusters, std::int64_t starts,
                 std::uint64_t seed);

/// Agreement of two assignments, whatever their numbers mean.
struct Agreement {
  double nmi = 0.0;  ///< mutual information over the mean of both entropies: 0 to 1
  double ari = 0.0;  ///< Rand index, adjusted for chance: 1 for equal, 0 for random ones
};

/// Shapes:  [n] int64 each, not negative, n >= 1.
/// Source:  Vinh et al., JMLR 11 (2010) (NMI by the arithmetic mean); Hubert and Arabie,
///          J. Classif. 2 (1985). Two assignments of one group each, or of a group a row, agree.
Agreement clustering_agreement(const torch::Tensor& a, const torch::Tensor& b);

}  // namespace clr
