// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <limits>

#include "clr/loss/contrastive.h"

namespace clr::detail {

/// A ContrastiveProblem without its graph, on one device, checked.
struct TileProblem {
  torch::Tensor rows;                 ///< [M, D], contiguous
  torch::Tensor columns;              ///< [C, D], contiguous; the rows themselves if `symmetric`
  torch::Tensor inverse_temperature;  ///< float64 scalar, same device
  torch::Tensor row_ids;              ///< int64 [M], or undefined
  torch::Tensor column_ids;           ///< int64 [C], or undefined
  bool symmetric = false;             ///< each tile then serves its rows and its columns
  bool column_sums = false;
  Pairing pairing = Pairing::none;
  bool rows_among_columns = false;
  std::int64_t row_offset = 0;
  IdRule id_rule = IdRule::leave_out;
  double cosine_limit = std::numeric_limits<double>::infinity();
  bool half_precision = false;

  /// Column that is row i itself, or -1.
  std::int64_t self(std::int64_t i) const { return rows_among_columns ? row_offset + i : -1; }
  /// Column that is row i's other view, or -1.
  std::int64_t partner(std::int64_t i) const {
    const std::int64_t global = row_offset + i;
    const std::int64_t half = columns.size(0) / 2;
    switch (pairing) {
      case Pairing::none:
        return -1;
      case Pairing::halves:
        return global < half ? global + half : global - half;
      case Pairing::interleaved:
        return global ^ 1;
      case Pairing::same_index:
        return global;
    }
    return -1;
  }
};

/// What a back end computes. Each has both functions; all fill tensors that the caller made.
///
/// log_sums:   row_sums float64 [M], and column_sums float64 [C] where asked for: natural
/// logarithms
///             of the sums of exp(cosine / temperature); -inf where nothing is left to add.
/// gradients:  given the gradients of those (column ones undefined where there are none), adds to
///             row_gradient [M, D] and, if it is defined, to column_gradient [C, D].
///             For a symmetric problem all goes to row_gradient.
///
/// Streaming: any device, type and temperature, by ATen, O(tile) memory.
void log_sums_streaming(const TileProblem& problem, torch::Tensor& row_sums,
                        torch::Tensor& column_sums);
void gradients_streaming(const TileProblem& problem, const torch::Tensor& row_sums,
                         const torch::Tensor& column_sums, const torch::Tensor& row_slope,
                         const torch::Tensor& column_slope, torch::Tensor& row_gradient,
                         torch::Tensor& column_gradient);

/// CPU: float32 and temperatures whose exponentials need no shift. `kept`, float32, of
/// kept_on_cpu() elements or none, takes the cosines of few tiles, so that gradients_cpu need not
/// compute them again.
bool cpu_tiles_fit(const TileProblem& problem);
std::int64_t kept_on_cpu(std::int64_t rows, std::int64_t columns, bool symmetric);
void log_sums_cpu(const TileProblem& problem, torch::Tensor& row_sums, torch::Tensor& column_sums,
                  torch::Tensor& kept);
void gradients_cpu(const TileProblem& problem, const torch::Tensor& kept,
                   const torch::Tensor& row_sums, const torch::Tensor& column_sums,
                   const torch::Tensor& row_slope, const torch::Tensor& column_slope,
                   torch::Tensor& row_gradient, torch::Tensor& column_gradient);

/// CUDA: float32 of up to 512 dimensions, by the kernels of libclr_cuda.so.
/// Throws:  Error{device} where that cannot be loaded; c10::Error for what CUDA says.
bool cuda_kernels_fit(const TileProblem& problem);
void log_sums_cuda(const TileProblem& problem, torch::Tensor& row_sums, torch::Tensor& column_sums);
void gradients_cuda(const TileProblem& problem, const torch::Tensor& row_sums,
                    const torch::Tensor& column_sums, const torch::Tensor& row_slope,
                    const torch::Tensor& column_slope, torch::Tensor& row_gradient,
                    torch::Tensor& column_gradient);

}  // namespace clr::detail
