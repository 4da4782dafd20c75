// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <limits>

#include "clr/loss/contrastive.h"
#include "clr/loss/shared_batch.h"

namespace clr {

/// What the losses over two views of one batch share.
///
/// Each loss here and in info_nce.h and supcon.h is also an op of its name, clr::nt_xent and so on,
/// for the dispatcher and for Python: docs/use-from-python.md.
struct TwoViewOptions {
  torch::Tensor weights;  ///< [2N], of any sign: the loss is their sum with the anchors' losses;
                          ///< undefined: the mean
  torch::Tensor ids;      ///< int64 [2N]: rows of equal id are not negatives of each other
  /// Rows whose cosine exceeds this are not negatives of each other. No gradient flows through it.
  double cosine_limit = std::numeric_limits<double>::infinity();
  LossBackend backend = LossBackend::automatic;
  /// As ContrastiveProblem's; so it is anyway for rows of 16 bits.
  bool half_precision = false;
  /// z0 and z1, weights and ids are of this process's images. Pairs in one tensor are interleaved.
  SharedBatch shared;
};

/// NT-Xent loss over two views of one batch.
///
/// Shapes:  z0, z1 [N, D], floating point, same type and device, N >= 2; row i of z0 and row i of
///          z1 are views of one image. Returns a scalar, float64 for float64 and else float32.
/// Units:   nats. temperature > 0, a number or a tensor of one element, which then gets a gradient;
///          rows are L2-normalised inside, by max(norm, 1e-12). A row that is not finite makes the
///          loss NaN.
/// Memory:  O(N * D): two times the inputs, and a tile; on a CPU up to 12 MB more for small
///          batches. The 2N x 2N matrix is never stored.
/// Throws:  Error{config} for temperature <= 0 or not finite (a tensor is not looked at on a GPU);
///          Error{device} for a back end that the device lacks; c10::Error for a wrong shape, type
///          or device, and for a double backward.
/// Source:  arXiv:2002.05709, eq. 1. SimCLR's own code sums two means: twice this value.
torch::Tensor nt_xent(const torch::Tensor& z0, const torch::Tensor& z1, double temperature,
                      const TwoViewOptions& options = {});
torch::Tensor nt_xent(const torch::Tensor& z0, const torch::Tensor& z1,
                      const torch::Tensor& temperature, const TwoViewOptions& options = {});

/// The same, all rows in one tensor [2N, D], paired as `pairing` says (halves or interleaved).
torch::Tensor nt_xent(const torch::Tensor& z, Pairing pairing, double temperature,
                      const TwoViewOptions& options = {});

/// Decoupled contrastive learning: NT-Xent without the positive in its denominator.
///
/// N, types, units, memory and errors as nt_xent, but for N >= 2 the value has no lower bound.
/// Source:  arXiv:2110.06848, eq. 6 (sums over both views' negatives, as lightly's DCLLoss).
torch::Tensor dcl(const torch::Tensor& z0, const torch::Tensor& z1, double temperature,
                  const TwoViewOptions& options = {});

/// DCL with positives weighted by 2 - exp(cos_i / sigma) / mean_j exp(cos_j / sigma): less for
/// pairs that agree already. No gradient flows through the weights.
/// Source:  arXiv:2110.06848, eq. 7.
torch::Tensor dclw(const torch::Tensor& z0, const torch::Tensor& z1, double temperature,
                   double sigma = 0.5, const TwoViewOptions& options = {});

/// Debiased contrastive loss: negatives corrected for the share `positive_prior` of them, in [0,
/// 1), that are of the anchor's class. 0 is nt_xent.
/// Source:  arXiv:2007.00224, eq. 8 and its code: (sum of negatives - prior * N * positive) / (1 -
///          prior), at least N exp(-1 / temperature), N the number of negatives.
torch::Tensor debiased(const torch::Tensor& z0, const torch::Tensor& z1, double temperature,
                       double positive_prior, const TwoViewOptions& options = {});

/// Debiased loss with negatives weighted by exp(beta * cosine / temperature), mean weight 1. beta
/// >= 0; 0 is debiased.
/// Source:  arXiv:2010.04592, eq. 4 and its code.
torch::Tensor hard_negative(const torch::Tensor& z0, const torch::Tensor& z1, double temperature,
                            double positive_prior, double beta, const TwoViewOptions& options = {});

}  // namespace clr
