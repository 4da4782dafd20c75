// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace clr {

/// What features are shifted and scaled by before a linear classifier is fitted:
/// (h - mean) / deviation.
struct FeatureScaling {
  torch::Tensor mean;       ///< [F] float64
  torch::Tensor deviation;  ///< [F] float64
};

/// Mean and population deviation of each feature; constant features: deviation 1. Without
/// `standardize` mean 0 and deviation 1.
///
/// Shapes:  features [n, F] float64, n >= 1, on the CPU.
FeatureScaling measure_scaling(const torch::Tensor& features, bool standardize);

/// A linear classifier on raw (not standardised) features: logits = h weight^T + bias.
struct LinearHead {
  torch::Tensor weight;  ///< [C, F] float32
  torch::Tensor bias;    ///< [C] float32
};

/// The scaling and then a classifier of the scaled features, as one of the raw ones.
///
/// Shapes:  weight [C, F], bias [C], float64.
LinearHead fold_scaling(const torch::Tensor& weight, const torch::Tensor& bias,
                        const FeatureScaling& scaling);

}  // namespace clr
