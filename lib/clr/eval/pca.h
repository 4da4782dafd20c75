// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <array>

namespace clr {

/// Rows on their two directions of most variance.
struct PlanarMap {
  torch::Tensor points;                ///< [n, 2] float64, centred
  std::array<double, 2> shares{0, 0};  ///< of the variance, each direction's
};

/// Principal components, in float64; of each direction the sign that makes its largest entry
/// positive, so that equal rows give equal maps.
///
/// Shapes:  rows [n, D] floating point, n >= 1. One dimension, or rows that are all one: zeros.
/// Memory:  8 * D * (n + D) bytes.
PlanarMap planar_pca(const torch::Tensor& rows);

}  // namespace clr
