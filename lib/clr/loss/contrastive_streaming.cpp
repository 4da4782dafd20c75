// SPDX-License-Identifier: Apache-2.0
// Sums tile by tile in ATen: every device and type, every temperature. Each tile is shifted by its
// own largest entry (logsumexp), and sums are joined by logaddexp.
#include <ATen/ATen.h>

#include <algorithm>

#include "clr/loss/contrastive_backend.h"

namespace clr::detail {
namespace {

using torch::Tensor;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

/// On a GPU a tile has to be large to fill it; on a CPU, to stay in the cache.
std::int64_t tile_size(const TileProblem& problem) { return problem.rows.is_cuda() ? 4096 : 512; }

struct Tile {
  std::int64_t row, rows, column, columns;
  bool diagonal;  ///< of a symmetric problem: serves its rows alone
};

template <typename Work>
void each_tile(const TileProblem& problem, Work work) {
  const std::int64_t size = tile_size(problem);
  const std::int64_t rows = problem.rows.size(0);
  const std::int64_t columns = problem.columns.size(0);
  for (std::int64_t i = 0; i < rows; i += size) {
    for (std::int64_t j = problem.symmetric ? i : 0; j < columns; j += size) {
      work(Tile{i, std::min(size, rows - i), j, std::min(size, columns - j),
                problem.symmetric && i == j});
    }
  }
}

/// True where a column is left out of a row's sum; [rows, columns] of the tile.
Tensor left_out(const TileProblem& problem, const Tile& tile, const Tensor& cosines) {
  const auto integers = torch::dtype(torch::kInt64).device(cosines.device());
  const Tensor row = torch::arange(tile.row + problem.row_offset,
                                   tile.row + problem.row_offset + tile.rows, integers)
                         .unsqueeze(1);
  const Tensor column = torch::arange(tile.column, tile.column + tile.columns, integers);
  const std::int64_t total = problem.columns.size(0);
  Tensor mask = torch::zeros({tile.rows, tile.columns}, cosines.options().dtype(torch::kBool));
  if (problem.rows_among_columns) mask |= column == row;
  switch (problem.pairing) {
    case Pairing::none:
      break;
    case Pairing::halves:
      mask |= column == row.add(total / 2).remainder(total);
      break;
    case Pairing::interleaved:
      mask |= column == row.bitwise_xor(1);
      break;
    case Pairing::same_index:
      mask |= column == row;
      break;
  }
  if (problem.row_ids.defined()) {
    const Tensor same = problem.row_ids.narrow(0, tile.row, tile.rows).unsqueeze(1) ==
                        problem.column_ids.narrow(0, tile.column, tile.columns);
    mask |= problem.id_rule == IdRule::leave_out ? same : same.logical_not();
  }
  if (std::isfinite(problem.cosine_limit)) mask |= cosines > problem.cosine_limit;
  return mask;
}

/// cosine / temperature, -inf where a column is left out.
Tensor logits(const TileProblem& problem, const Tile& tile) {
  Tensor cosines = problem.rows.narrow(0, tile.row, tile.rows)
                       .mm(problem.columns.narrow(0, tile.column, tile.columns).t());
  const Tensor mask = left_out(problem, tile, cosines);
  return cosines.mul_(problem.inverse_temperature).masked_fill_(mask, kMinusInfinity);
}

/// exp(logits - sum) of rows or columns; a sum of nothing has no terms.
Tensor shares(const Tensor& logits, const Tensor& sums) {
  return (logits - sums.masked_fill(sums == kMinusInfinity, 0).to(logits.scalar_type())).exp_();
}

}  // namespace

void log_sums_streaming(const TileProblem& problem, Tensor& row_sums, Tensor& column_sums) {
  row_sums.fill_(kMinusInfinity);
  column_sums.fill_(kMinusInfinity);
  const auto join = [](Tensor sums, const Tensor& more) {
    at::logaddexp_out(sums, sums, more.to(torch::kFloat64));
  };
  each_tile(problem, [&](const Tile& tile) {
    const Tensor tile_logits = logits(problem, tile);
    join(row_sums.narrow(0, tile.row, tile.rows), tile_logits.logsumexp(1));
    if (problem.symmetric && !tile.diagonal) {
      join(row_sums.narrow(0, tile.column, tile.columns), tile_logits.logsumexp(0));
    } else if (problem.column_sums) {
      join(column_sums.narrow(0, tile.column, tile.columns), tile_logits.logsumexp(0));
    }
  });
}

void gradients_streaming(const TileProblem& problem, const Tensor& row_sums,
                         const Tensor& column_sums, const Tensor& row_slope,
                         const Tensor& column_slope, Tensor& row_gradient,
                         Tensor& column_gradient) {
  const auto type = problem.rows.scalar_type();
  const Tensor& other_sums = problem.symmetric ? row_sums : column_sums;
  const Tensor& other_slope = problem.symmetric ? row_slope : column_slope;
  each_tile(problem, [&](const Tile& tile) {
    const Tensor tile_logits = logits(problem, tile);
    Tensor slopes = shares(tile_logits, row_sums.narrow(0, tile.row, tile.rows).unsqueeze(1))
                        .mul_(row_slope.narrow(0, tile.row, tile.rows).unsqueeze(1).to(type));
    if (other_slope.defined()) {
      slopes += shares(tile_logits, other_sums.narrow(0, tile.column, tile.columns))
                    .mul_(other_slope.narrow(0, tile.column, tile.columns).to(type));
    }
    slopes.mul_(problem.inverse_temperature);
    row_gradient.narrow(0, tile.row, tile.rows)
        .addmm_(slopes, problem.columns.narrow(0, tile.column, tile.columns));
    Tensor& other = problem.symmetric ? row_gradient : column_gradient;
    if (!tile.diagonal && other.defined()) {
      other.narrow(0, tile.column, tile.columns)
          .addmm_(slopes.t(), problem.rows.narrow(0, tile.row, tile.rows));
    }
  });
}

}  // namespace clr::detail
