// SPDX-License-Identifier: Apache-2.0
// What contrastive losses do row by row beside their tiles, on the CPU: one pass over the rows
// each, where ATen would take several and a call for each. float32 and float64; results are
// float64's sums.
#pragma once

#include <torch/types.h>

#include "clr/loss/contrastive_backend.h"

namespace clr::detail {

/// z = x / max(norm, min_norm).
///
/// Shapes:  x [M, D] of any floating-point type and strides -> z [M, D], norms [M] or [M, 1],
///          contiguous, of the type that x becomes: float64 for float64, else float32.
void unit_rows_cpu(const torch::Tensor& x, double min_norm, torch::Tensor& z, torch::Tensor& norms);

/// The gradient of x from that of z: (dz - z (z . dz)) / norm, or dz / min_norm where the norm is
/// not above it.
///
/// Shapes:  dz as z, of any strides; dx [M, D], contiguous, of any floating-point type.
void unit_rows_gradient_cpu(const torch::Tensor& z, const torch::Tensor& norms, double min_norm,
                            const torch::Tensor& dz, torch::Tensor& dx);

/// pairs [M] = row . the column that is its other view, times `factor`. float64.
void pair_products_cpu(const TileProblem& problem, double factor, torch::Tensor& pairs);

/// Adds the gradients that come through pairs: slope [M] (float64, contiguous) times `factor` times
/// the other of the pair, to the rows and, if it is defined, to the columns. Of a symmetric problem
/// both ends are rows.
void add_pair_gradients_cpu(const TileProblem& problem, const torch::Tensor& slope, double factor,
                            torch::Tensor& row_gradient, torch::Tensor& column_gradient);

/// sums [M] = a . b of each row, float64.
void row_products_cpu(const torch::Tensor& a, const torch::Tensor& b, torch::Tensor& sums);

}  // namespace clr::detail
