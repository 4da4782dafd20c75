// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Functions.h>

namespace clr {

/// Rows [n, F] scaled to length 1, in `type`; rows of zeros stay so.
inline torch::Tensor unit_features(const torch::Tensor& features, torch::ScalarType type) {
  const torch::Tensor rows = features.to(torch::kCPU, type).contiguous();
  const torch::Tensor norm = at::linalg_vector_norm(rows, 2, {1}, true, torch::kFloat64);
  return rows / norm.masked_fill(norm == 0, 1.0).to(type);
}

}  // namespace clr
