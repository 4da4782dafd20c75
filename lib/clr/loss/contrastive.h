// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <limits>

#include "clr/loss/pairing.h"

namespace clr {

/// What goes through the tiles.
enum class LossBackend {
  automatic,  ///< fused on a CPU; streaming on CUDA, as the kernels there have not run on a GPU yet
  fused,      ///< products and exponentials of a tile in one go, in float32. Streamed all the same:
  ///< float64; on a CPU temperatures below about 0.0136; on CUDA more than 512 dimensions
  streaming,  ///< ATen, any type, device and temperature
};
constexpr auto enum_names(LossBackend) { return std::array{"auto", "fused", "streaming"}; }

/// One sum of exponentials for each row, over a segment of columns: what every contrastive loss is
/// made of. A loss over several segments (a batch and a queue) joins their sums by logaddexp.
///
/// Left out of row i's sum: the row itself, its other view, columns by `id_rule`, columns whose
/// cosine exceeds `cosine_limit`. The other view is returned by itself (LogSums::pairs), so that a
/// converged batch keeps its digits; with Pairing::none it stays in the sum.
struct ContrastiveProblem {
  torch::Tensor rows;                 ///< [M, D], of unit length (unit_rows)
  torch::Tensor columns;              ///< [C, D], of unit length; undefined: the rows
  torch::Tensor inverse_temperature;  ///< float64 scalar on their device (inverse_temperature())
  torch::Tensor row_ids;              ///< int64 [M], or undefined
  torch::Tensor column_ids;  ///< int64 [C]; undefined: row_ids, if the columns are the rows
  Pairing pairing = Pairing::none;
  /// The columns hold the rows, from row_offset on: this process's rows among those of all.
  bool rows_among_columns = false;
  std::int64_t row_offset = 0;
  bool column_sums = false;  ///< also over the rows, for each column
  IdRule id_rule = IdRule::leave_out;
  double cosine_limit = std::numeric_limits<double>::infinity();
  LossBackend backend = LossBackend::automatic;
  /// The rows come from a network that computes in half precision: CUDA's kernels may multiply
  /// halves.
  bool half_precision = false;
};

/// Natural logarithms, in float64 whatever the rows' type: losses are differences of these.
struct LogSums {
  torch::Tensor rows;     ///< [M]; -inf where all columns are left out
  torch::Tensor columns;  ///< [C] with column_sums, else of no elements
  torch::Tensor pairs;    ///< [M], cosine / temperature of the pair; of no elements without pairs
};

/// Rows of length 1, as torch.nn.functional.normalize: x / max(norm, 1e-12).
///
/// Shapes:  x0 [N0, D] and, if it is defined, x1 [N1, D] -> [N0 + N1, D]. float16 and bfloat16
///          become float32; gradients come back in the type of x.
/// Memory:  the result, which is also what the backward pass keeps.
/// Errors:  c10::Error for shapes, types and devices that do not fit; no double backward.
/// Op:      clr::unit_rows, which also returns the norms.
torch::Tensor unit_rows(const torch::Tensor& x0, const torch::Tensor& x1 = {});

/// Whether embeddings come in 16 bits: ContrastiveProblem::half_precision.
bool is_half_precision(const torch::Tensor& x);

/// 1 / temperature as ContrastiveProblem takes it. A number must be above 0 and finite
/// (Error{config}); a tensor of one element keeps its graph and is not looked at, as that would
/// wait for the device: log_sums does so on a CPU.
torch::Tensor inverse_temperature(double temperature, torch::Device device);
torch::Tensor inverse_temperature(const torch::Tensor& temperature, torch::Device device);

/// The sums, tile by tile: no M x C matrix is stored, forward or backward.
///
/// Units:   nats.
/// Memory:  O(M + C) and a tile (CPU: 1 MB a thread) beside the result; backward also the
///          gradients, M * D and C * D. On a CPU a graph keeps up to 12 MB of exponentials of a
///          small problem.
/// Errors:  c10::Error for shapes, types, devices that do not fit; no double backward.
///          Error{device} for LossBackend::fused on a device that has no kernels, or where they
///          cannot be loaded.
/// Op:      clr::log_sums, on whose tensors everything here works: with a graph, traced, compiled.
/// Source:  docs/kernels.md.
LogSums log_sums(const ContrastiveProblem& problem);

/// -log of the pair's share of the pair and the others: log(1 + exp(others - pairs)), of logarithms
/// such as LogSums has. A batch that has converged keeps all its digits, which the difference of two
/// logarithms would lose.
torch::Tensor pair_cross_entropy(const torch::Tensor& pairs, const torch::Tensor& others);

}  // namespace clr
