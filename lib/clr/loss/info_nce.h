// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "clr/loss/contrastive.h"
#include "clr/loss/shared_batch.h"

namespace clr {

/// InfoNCE against columns that are no part of the batch: a queue or a memory bank.
///
/// Shapes:  query, key [N, D], queue [K, D], floating point, same type and device; row i of key is
///          query i's positive, all of queue are negatives. Returns a scalar, float64 for float64
///          and else float32.
/// Units:   nats, mean over the N queries. temperature > 0; rows are L2-normalised inside. `queue`
///          gets no gradient; `key` gets one if it asks for it.
/// Memory:  O((N + K) * D); the N x K matrix is never stored.
/// Throws:  as nt_xent.
/// Source:  arXiv:1911.05722, eq. 1 (MoCo).
torch::Tensor info_nce(const torch::Tensor& query, const torch::Tensor& key,
                       const torch::Tensor& queue, double temperature,
                       LossBackend backend = LossBackend::automatic);

/// InfoNCE between two encoders: row i of either side is the positive of row i of the other, all
/// other rows of the other side are negatives; the mean of both directions, which share one pass
/// over the tiles. Both sides get gradients.
///
/// Shapes:  z0, z1 [N, D], N >= 2. Rest as info_nce. A temperature tensor gets a gradient.
/// Source:  arXiv:2103.00020, fig. 3 (CLIP).
torch::Tensor info_nce_both_ways(const torch::Tensor& z0, const torch::Tensor& z1,
                                 double temperature, LossBackend backend = LossBackend::automatic);
torch::Tensor info_nce_both_ways(const torch::Tensor& z0, const torch::Tensor& z1,
                                 const torch::Tensor& temperature,
                                 LossBackend backend = LossBackend::automatic);

/// InfoNCE within a batch, one way: row i of `key` is query i's positive; the other rows of key, and all
/// of `negatives`, are its negatives.
///
/// Shapes:  query, key [N, D], N >= 2; negatives [K, D] or undefined. Rest as info_nce; all get gradients.
/// Source:  arXiv:2104.08821, eq. 1 and, with negatives, eq. 5 (SimCSE).
torch::Tensor info_nce_in_batch(const torch::Tensor& query, const torch::Tensor& key,
                                const torch::Tensor& negatives, double temperature,
                                LossBackend backend = LossBackend::automatic,
                                const SharedBatch& shared = {});

}  // namespace clr
