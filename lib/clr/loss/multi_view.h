// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "clr/loss/contrastive.h"
#include "clr/loss/shared_batch.h"

namespace clr {

/// NT-Xent over any number of views: each pair of views of an image against all rows of all other
/// images, the mean over ordered pairs of
///   -log(exp(s_ij / t) / (exp(s_ij / t) + sum over rows k of other images of exp(s_ik / t))).
/// Other views of the image are no negatives. Two views: nt_xent.
///
/// Shapes:  views [V, N, D], V >= 2, N >= 2 in all, floating point. Returns a scalar, float64 for
///          float64 and else float32.
/// Units:   nats, mean over the N * V * (V - 1) ordered pairs. temperature > 0; rows are
///          L2-normalised inside.
/// Memory:  O(V N D) and N * V * V; no matrix of all rows is stored.
/// Throws:  as nt_xent.
/// Source:  arXiv:2403.05490, the geometric mean over pairs.
torch::Tensor multi_view_nt_xent(const torch::Tensor& views, double temperature,
                                 LossBackend backend = LossBackend::automatic,
                                 bool half_precision = false, const SharedBatch& shared = {});

}  // namespace clr
