// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr {

/// Noise-contrastive estimation of the softmax over n images: K + 1 two-way choices an anchor, data
/// or noise, in place of one choice among n.
///
/// With s(q, f) = q . f / temperature and P(f | q) = exp(s) / Z, a row is data with probability h =
/// P / (P + K / n): to one row of data there are K of noise, each image with probability 1 / n. The
/// loss is -log h(key) - sum over the K rows of `noise` of log(1 - h). Z is a constant and not the
/// sum over all images that it stands for: see nce_log_normalizer().
///
/// Shapes:  query, key [N, D], noise [K, D] of unit length (unit_rows), floating point, same type
///          and device, N and K >= 1; row i of key is query i's image as the bank has it.
///          log_normalizer: log(Z / n), a scalar on their device. Returns a scalar of the rows'
///          type.
/// Units:   nats, mean over the N queries. temperature > 0. `query` alone gets a gradient.
/// Memory:  O(N * K): its sum is not one of exponentials, so log_sums() cannot take it in tiles.
/// Throws:  Error{config} for temperature <= 0 or not finite; c10::Error for a wrong shape.
/// Source:  arXiv:1805.01978, eq. 6 and 7. Its code adds 1e-7 to denominators, which logits do not
///          need.
torch::Tensor nce(const torch::Tensor& query, const torch::Tensor& key, const torch::Tensor& noise,
                  double temperature, const torch::Tensor& log_normalizer);

/// log(Z / n) from a batch: Z / n is the mean of exp(s) over its keys and all of its noise.
///
/// Shapes:  as nce(). Returns a float64 scalar without a gradient.
/// Source:  arXiv:1805.01978, eq. 8, with the positives among the samples, as its code has it.
torch::Tensor nce_log_normalizer(const torch::Tensor& query, const torch::Tensor& key,
                                 const torch::Tensor& noise, double temperature);

}  // namespace clr
