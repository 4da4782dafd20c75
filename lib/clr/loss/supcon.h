// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "clr/loss/contrastive.h"
#include "clr/loss/shared_batch.h"

namespace clr {

/// Supervised contrastive loss, the mean over positives outside the logarithm ("out").
///
/// Shapes:  z [M, D], floating point, all views of a batch; labels int64 [M], same device. Row i's
///          positives are the other rows of its label. Returns a scalar, float64 for float64 and
///          else float32.
/// Units:   nats, mean over the anchors that have a positive; 0 where none has. temperature > 0;
///          rows are L2-normalised inside.
/// Memory:  O(M * D); no M x M matrix. On a GPU the sums of classes are repeatable to the byte only
///          where LibTorch's deterministic algorithms are asked for.
/// Throws:  as nt_xent.
/// Source:  arXiv:2004.11362, eq. 2, without its factor temperature / base temperature.
torch::Tensor supcon_out(const torch::Tensor& z, const torch::Tensor& labels, double temperature,
                         LossBackend backend = LossBackend::automatic,
                         const SharedBatch& shared = {});

/// The same with the mean inside the logarithm ("in"): log of the mean share of the positives.
/// Source:  arXiv:2004.11362, eq. 3.
torch::Tensor supcon_in(const torch::Tensor& z, const torch::Tensor& labels, double temperature,
                        LossBackend backend = LossBackend::automatic,
                        const SharedBatch& shared = {});

}  // namespace clr
