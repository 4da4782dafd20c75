// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

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
  /// alpha-ReQ: how fast the eigenvalues of the first views' covariance fall, as j^-alpha: their
  /// logarithms over log j for j = 4 to 100 (or to the last that is not rounding; all of them where
  /// there are fewer than 8), least squares weighted by 1 / j. About 1 is best: below 0.5 noise has as much room
  /// as content, far above 1 few directions hold all. 0 where there are fewer than two.
  /// Source: arXiv:2202.05808, section 3, with the fit of Stringer et al., Nature 571 (2019).
  double alpha = 0.0;
};

/// Cosines between views of the same image, and of different ones.
struct ViewSimilarity {
  static constexpr int kBins = 40;  ///< of equal width, from -1 to 1
  std::vector<double> positives;    ///< [kBins], shares of all positives
  std::vector<double> negatives;    ///< [kBins], shares of all negatives
  double positive_mean = 0.0;
  double negative_mean = 0.0;
  /// Share of negatives that are nearer to their anchor than its own other view: what a
  /// contrastive loss pushes hardest, and where false negatives (images of one thing) are found.
  double nearer_negatives = 0.0;
  /// Of these, those whose image has the anchor's label; 0 without labels.
  double nearer_same_class = 0.0;
};

/// Anchors are the first views; each has one positive, its image's second view, and as negatives
/// the second views of all other images.
///
/// Shapes:  views [2, n, D], floating point, n >= 2; labels [n] int64 or undefined. On the CPU,
///          computed in float64.
/// Memory:  blocks of 512 * n.
ViewSimilarity view_similarity(const torch::Tensor& views, const torch::Tensor& labels);

/// Shapes:  views [2, n, D], floating point, n >= 2; row i of either is a view of image i. On the
///          CPU, computed in float64.
/// Memory:  8 * (4 * n * D + min(n, D)^2) bytes, and blocks of 512 * n.
EmbeddingHealth embedding_health(const torch::Tensor& views);

}  // namespace clr
