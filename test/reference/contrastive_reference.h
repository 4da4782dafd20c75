// SPDX-License-Identifier: Apache-2.0
// NT-Xent and its gradients in float64, some rows of the matrix at a time: for batches whose matrix
// would not fit, and for temperatures at which exponentials would not. Rows to test with.
#pragma once

#include <torch/types.h>

#include "clr/loss/contrastive.h"

namespace clr::test {

struct ExactNtXent {
  double loss = 0.0;
  torch::Tensor gradient;  ///< [2N, D] or, of a sample, [S, D]; of the loss by the rows as given
  double temperature_slope = 0.0;  ///< by the temperature; 0 of a sample
};

/// rows [2N, D], of any floating-point type, not normalised, in pairs as `pairing` says. The loss
/// is the sum of `weights` [2N] times the anchors' losses, or their mean.
///
/// In the form loss_i = log1p(Rneg_i / Epos_i), q_i = Rneg_i / R_i, and with logarithms of all
/// sums: no difference of nearly equal numbers and no overflow, at any temperature. `sample` int64
/// [S]: the rows whose gradient is wanted, if not all.
ExactNtXent exact_nt_xent(const torch::Tensor& rows, double temperature,
                          Pairing pairing = Pairing::halves, const torch::Tensor& weights = {},
                          const torch::Tensor& sample = {});

/// float64 rows, of normal numbers around `mean`.
torch::Tensor random_rows(std::int64_t rows, std::int64_t d, std::uint64_t seed, double mean = 0.2);

/// 2N float64 rows in halves whose pairs agree (cosine about 0.9).
torch::Tensor aligned_rows(std::int64_t n, std::int64_t d, std::uint64_t seed);

/// 2N float64 rows in halves, in ten clusters, pairs within them.
torch::Tensor clustered_rows(std::int64_t n, std::int64_t d, std::uint64_t seed);

/// |a - b| / |b|
double relative_distance(const torch::Tensor& a, const torch::Tensor& b);

}  // namespace clr::test
