// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr {

/// Mean cosine of two views of one image, over images and pairs of views.
///
/// Shapes:  unit rows [V, N, D], V >= 2 -> scalar.
torch::Tensor mean_view_cosine(const torch::Tensor& unit);

/// Entropy of each row of shares [..., K] -> [...], in nats; its exp is among how many the choice is.
torch::Tensor entropy(const torch::Tensor& probabilities);

}  // namespace clr
