// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr {

/// How embeddings lie on the sphere, without a label.
struct EmbeddingHealth {
  /// Mean squared distance of the two views of an image, on unit rows: 0 to 4, less is closer.
  /// Source: arXiv:2005.10242, eq. 3 (alpha = 2).
  double alignment = 0.0;
  /// Logarithm of the mean of exp(-2 * squared distance) over all pairs of images, on unit rows,
  /// the mean of both views': 0 when all rows are one, about -4 at best; less is more even.
  /// Source: arXiv:2005.10242, eq. 5 (t = 2).
  double uniformity = 0.0;
  /// Standard deviation of a coordinate of unit rows, the mean over coordinates and views: 0 when
  /// all rows are one, 1 / sqrt(D) when they are even. Source: arXiv:2011.10566, section 4.1.
  double deviation = 0.0;
  /// RankMe: exp of the entropy of the singular values' shares, of the first views' rows as they
  /// are: 1 to min(n, D). Source: arXiv:2210.02885, eq. 1 and 2 (eps = 1e-7).
  double effective_rank = 0.0;
};

/// Shapes:  views [2, n, D], floating point, n >= 2; row i of either is a view of image i. On the
///          CPU, computed in float64.
/// Memory:  8 * (4 * n * D + min(n, D)^2) bytes, and blocks of 512 * n.
EmbeddingHealth embedding_health(const torch::Tensor& views);

}  // namespace clr
