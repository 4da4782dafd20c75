// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/contrastive.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "clr/core/error.h"
#include "clr/loss/contrastive_backend.h"

namespace clr {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr double kMinNorm = 1e-12;
// Row-wise work goes in pieces of this many rows, so that what it needs beside its result stays small:
// on a CPU within a core's cache.
constexpr std::int64_t kCpuPiece = 128;
constexpr std::int64_t kGpuPiece = 16384;

/// work(first row, rows) for all rows, on a CPU several at a time.
template <typename Work>
void in_pieces(std::int64_t rows, torch::Device device, Work work) {
  const std::int64_t piece = device.is_cpu() ? kCpuPiece : kGpuPiece;
  const auto some = [&](std::int64_t begin, std::int64_t end) {
    // Other threads do not know that no graph is wanted.
    const at::AutoDispatchBelowADInplaceOrView no_graph;
    for (std::int64_t i = begin; i < end; ++i) {
      work(i * piece, std::min(piece, rows - i * piece));
    }
  };
  const std::int64_t pieces = (rows + piece - 1) / piece;
  if (device.is_cpu()) {
    at::parallel_for(0, pieces, 1, some);
  } else {
    some(0, pieces);
  }
}

void refuse_double_backward(const char* what) {
  TORCH_CHECK(!at::GradMode::is_enabled(), what,
              ": a gradient of its gradient is not provided; do not use create_graph = true");
}

/// Undefined tensors are no arguments of a Function; nothing is.
std::optional<Tensor> some(const Tensor& x) {
  return x.defined() ? std::optional(x) : std::nullopt;
}

bool is_real(const Tensor& x) {
  const auto type = x.scalar_type();
  return type == torch::kFloat64 || type == torch::kFloat32 || type == torch::kFloat16 ||
         type == torch::kBFloat16;
}

class UnitRows : public Function<UnitRows> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x0,
                        const std::optional<Tensor>& second) {
    const Tensor x1 = second.value_or(Tensor());
    const std::int64_t n0 = x0.size(0);
    const std::int64_t rows = n0 + (x1.defined() ? x1.size(0) : 0);
    const auto type = c10::promoteTypes(x0.scalar_type(), torch::kFloat32);
    Tensor z = torch::empty({rows, x0.size(1)}, x0.options().dtype(type));
    Tensor norms = torch::empty({rows, 1}, z.options());
    for (const Tensor* x : {&x0, &x1}) {
      if (!x->defined()) continue;
      const std::int64_t start = x == &x0 ? 0 : n0;
      in_pieces(x->size(0), z.device(), [&](std::int64_t first, std::int64_t count) {
        const Tensor piece = x->narrow(0, first, count).to(type);
        Tensor norm = norms.narrow(0, start + first, count);
        // In float64, or the squares of 1e30 would leave float32.
        norm.copy_(at::linalg_vector_norm(piece, 2, {1}, true, torch::kFloat64));
        Tensor target = z.narrow(0, start + first, count);
        at::div_out(target, piece, norm.clamp_min(kMinNorm));
      });
    }
    context->save_for_backward({z, norms});
    context->saved_data["n0"] = n0;
    context->saved_data["types"] = std::vector<std::int64_t>{
        static_cast<std::int64_t>(x0.scalar_type()),
        static_cast<std::int64_t>(x1.defined() ? x1.scalar_type() : x0.scalar_type())};
    return z;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    refuse_double_backward("unit_rows");
    const variable_list saved = context->get_saved_variables();
    const Tensor& z = saved[0];
    const Tensor& norms = saved[1];
    const std::int64_t n0 = context->saved_data["n0"].toInt();
    const auto types = context->saved_data["types"].toIntVector();
    variable_list result(2);
    for (const std::size_t which : {std::size_t{0}, std::size_t{1}}) {
      const std::int64_t start = which == 0 ? 0 : n0;
      const std::int64_t rows = which == 0 ? n0 : z.size(0) - n0;
      if (rows == 0 || !context->needs_input_grad(which)) continue;
      Tensor dx = torch::empty({rows, z.size(1)},
                               z.options().dtype(static_cast<torch::ScalarType>(types[which])));
      in_pieces(rows, z.device(), [&](std::int64_t first, std::int64_t count) {
        const Tensor unit = z.narrow(0, start + first, count);
        const Tensor dz = gradients[0].narrow(0, start + first, count);
        const Tensor norm = norms.narrow(0, start + first, count);
        // Below the smallest norm the divisor is a constant, and nothing is radial.
        const Tensor radial = (unit * dz).sum(1, true).masked_fill_(norm <= kMinNorm, 0);
        dx.narrow(0, first, count).copy_((dz - unit * radial).div_(norm.clamp_min(kMinNorm)));
      });
      result[which] = dx;
    }
    return result;
  }
};

/// Columns of rows' other views: int64 [count] from row `first` on.
Tensor partners(const detail::TileProblem& problem, std::int64_t first, std::int64_t count) {
  const Tensor global =
      torch::arange(count, torch::dtype(torch::kInt64).device(problem.rows.device())) +
      (first + problem.row_offset);
  switch (problem.pairing) {
    case Pairing::halves:
      return global.add(problem.columns.size(0) / 2).remainder(problem.columns.size(0));
    case Pairing::interleaved:
      return global.bitwise_xor(1);
    default:
      return global;
  }
}

/// The rows at these columns.
Tensor partner_rows(const detail::TileProblem& problem, std::int64_t first, std::int64_t count) {
  // In halves or at the same index they follow each other, unless the two halves meet.
  const std::int64_t begin = problem.partner(first);
  if (problem.pairing != Pairing::interleaved &&
      problem.partner(first + count - 1) == begin + count - 1) {
    return problem.columns.narrow(0, begin, count);
  }
  return problem.columns.index_select(0, partners(problem, first, count));
}

class ContrastiveLogSums : public Function<ContrastiveLogSums> {
 public:
  /// What `problem` holds as tensors that need a graph comes as arguments of its own.
  static variable_list forward(AutogradContext* context, const Tensor& rows,
                               const Tensor& inverse_temperature,
                               const std::optional<Tensor>& other_columns,
                               const ContrastiveProblem& problem) {
    const Tensor columns = other_columns.value_or(Tensor());
    const detail::TileProblem tiles = to_tiles(rows, columns, inverse_temperature, problem);
    const auto sums = torch::dtype(torch::kFloat64).device(rows.device());
    Tensor row_sums = torch::empty({tiles.rows.size(0)}, sums);
    Tensor column_sums = torch::empty({tiles.column_sums ? tiles.columns.size(0) : 0}, sums);
    Tensor kept;
    if (detail::cpu_tiles_fit(tiles)) {
      // Nothing is kept for a backward pass that will not come.
      if (rows.requires_grad() || columns.requires_grad() || inverse_temperature.requires_grad()) {
        kept = torch::empty({0}, rows.options());
      }
      detail::log_sums_cpu(tiles, row_sums, column_sums, kept);
    } else {
      detail::log_sums_streaming(tiles, row_sums, column_sums);
    }
    Tensor pairs = torch::empty({0}, sums);
    if (tiles.pairing != Pairing::none) {
      pairs = torch::empty({tiles.rows.size(0)}, sums);
      in_pieces(tiles.rows.size(0), rows.device(), [&](std::int64_t first, std::int64_t count) {
        Tensor target = pairs.narrow(0, first, count);
        at::sum_out(target, tiles.rows.narrow(0, first, count) * partner_rows(tiles, first, count),
                    {1}, false, torch::kFloat64);
      });
      pairs.mul_(inverse_temperature);
    }
    context->save_for_backward({rows, columns, inverse_temperature, row_sums, column_sums,
                                problem.row_ids, problem.column_ids, kept});
    context->saved_data["integers"] = std::vector<std::int64_t>{
        static_cast<std::int64_t>(problem.pairing), problem.rows_among_columns, problem.row_offset,
        problem.column_sums, static_cast<std::int64_t>(problem.id_rule)};
    context->saved_data["cosine_limit"] = problem.cosine_limit;
    return {row_sums, column_sums, pairs};
  }

  static variable_list backward(AutogradContext* context, variable_list slopes) {
    refuse_double_backward("log_sums");
    const variable_list saved = context->get_saved_variables();
    const auto integers = context->saved_data["integers"].toIntVector();
    ContrastiveProblem problem;
    problem.pairing = static_cast<Pairing>(integers[0]);
    problem.rows_among_columns = integers[1] != 0;
    problem.row_offset = integers[2];
    problem.column_sums = integers[3] != 0;
    problem.id_rule = static_cast<IdRule>(integers[4]);
    problem.cosine_limit = context->saved_data["cosine_limit"].toDouble();
    problem.row_ids = saved[5];
    problem.column_ids = saved[6];
    const detail::TileProblem tiles = to_tiles(saved[0], saved[1], saved[2], problem);

    const bool wants_columns = !tiles.symmetric && context->needs_input_grad(2);
    Tensor row_gradient = torch::zeros_like(tiles.rows);
    Tensor column_gradient = wants_columns ? torch::zeros_like(tiles.columns) : Tensor();
    const Tensor row_slope =
        slopes[0].defined() ? slopes[0].contiguous() : torch::zeros_like(saved[3]);
    const Tensor column_slope =
        tiles.column_sums && slopes[1].defined() ? slopes[1].contiguous() : Tensor();
    if (detail::cpu_tiles_fit(tiles)) {
      detail::gradients_cpu(tiles, saved[7], saved[3], saved[4], row_slope, column_slope,
                            row_gradient, column_gradient);
    } else {
      detail::gradients_streaming(tiles, saved[3], saved[4], row_slope, column_slope, row_gradient,
                                  column_gradient);
    }
    if (tiles.pairing != Pairing::none && slopes[2].defined()) {
      const Tensor slope = slopes[2] * tiles.inverse_temperature;
      in_pieces(
          tiles.rows.size(0), tiles.rows.device(), [&](std::int64_t first, std::int64_t count) {
            const Tensor partner = partners(tiles, first, count);
            const Tensor weight = slope.narrow(0, first, count);
            const Tensor both = (tiles.symmetric ? weight + slope.index_select(0, partner) : weight)
                                    .unsqueeze(1)
                                    .to(row_gradient.scalar_type());
            row_gradient.narrow(0, first, count).addcmul_(partner_rows(tiles, first, count), both);
            if (wants_columns) {
              // Each column is the partner of one row, so the order of additions does not matter.
              column_gradient.index_add_(0, partner, tiles.rows.narrow(0, first, count) * both);
            }
          });
    }

    Tensor temperature_gradient;
    if (context->needs_input_grad(1)) {
      // Every term is cosine / temperature, of degree one in the row; in a symmetric problem each
      // term has two rows.
      Tensor radial = torch::empty_like(saved[3]);
      in_pieces(
          tiles.rows.size(0), tiles.rows.device(), [&](std::int64_t first, std::int64_t count) {
            Tensor target = radial.narrow(0, first, count);
            at::sum_out(target,
                        tiles.rows.narrow(0, first, count) * row_gradient.narrow(0, first, count),
                        {1}, false, torch::kFloat64);
          });
      temperature_gradient = radial.sum();
      temperature_gradient.div_(tiles.inverse_temperature * (tiles.symmetric ? 2 : 1));
      temperature_gradient = temperature_gradient.view(saved[2].sizes());
    }
    return {row_gradient, temperature_gradient, column_gradient, Tensor()};
  }

 private:
  static detail::TileProblem to_tiles(const Tensor& rows, const Tensor& columns,
                                      const Tensor& inverse_temperature,
                                      const ContrastiveProblem& problem) {
    detail::TileProblem tiles;
    tiles.symmetric = !columns.defined();
    tiles.rows = rows.detach().contiguous();
    tiles.columns = tiles.symmetric ? tiles.rows : columns.detach().contiguous();
    tiles.inverse_temperature = inverse_temperature.detach();
    tiles.row_ids = problem.row_ids;
    tiles.column_ids = problem.column_ids.defined() ? problem.column_ids
                       : tiles.symmetric            ? problem.row_ids
                                                    : Tensor();
    tiles.column_sums = problem.column_sums;
    tiles.pairing = problem.pairing;
    tiles.rows_among_columns = tiles.symmetric || problem.rows_among_columns;
    tiles.row_offset = problem.row_offset;
    tiles.id_rule = problem.id_rule;
    tiles.cosine_limit = problem.cosine_limit;
    return tiles;
  }
};

void check_ids(const Tensor& ids, std::int64_t count, const Tensor& rows, const char* name) {
  TORCH_CHECK(ids.dim() == 1 && ids.size(0) == count && ids.scalar_type() == torch::kInt64 &&
                  ids.device() == rows.device(),
              "log_sums: expected ", name, " int64 [", count, "] on ", rows.device(), ", got ",
              ids.scalar_type(), " ", ids.sizes(), " on ", ids.device());
}

void check(const ContrastiveProblem& problem) {
  const Tensor& rows = problem.rows;
  TORCH_CHECK(rows.defined() && rows.dim() == 2 && rows.size(0) > 0 && rows.size(1) > 0 &&
                  (rows.scalar_type() == torch::kFloat32 || rows.scalar_type() == torch::kFloat64),
              "log_sums: expected rows [M, D] of float32 or float64 (unit_rows makes them), got ",
              rows.defined() ? c10::str(rows.scalar_type(), " ", rows.sizes()) : "none");
  std::int64_t count = rows.size(0);
  if (problem.columns.defined()) {
    const Tensor& columns = problem.columns;
    TORCH_CHECK(columns.dim() == 2 && columns.size(0) > 0 && columns.size(1) == rows.size(1) &&
                    columns.scalar_type() == rows.scalar_type() &&
                    columns.device() == rows.device(),
                "log_sums: expected columns [C, ", rows.size(1), "] as the rows, ",
                rows.scalar_type(), " on ", rows.device(), ", got ", columns.scalar_type(), " ",
                columns.sizes(), " on ", columns.device());
    count = columns.size(0);
    TORCH_CHECK(!problem.row_ids.defined() || problem.column_ids.defined(),
                "log_sums: expected column_ids beside row_ids");
  } else {
    TORCH_CHECK(problem.row_offset == 0 && !problem.column_sums,
                "log_sums: row_offset and column_sums are for problems with columns");
    TORCH_CHECK(problem.pairing != Pairing::same_index,
                "log_sums: Pairing::same_index is for problems with columns");
  }
  const bool in_batch =
      problem.pairing == Pairing::halves || problem.pairing == Pairing::interleaved;
  TORCH_CHECK(!in_batch || count % 2 == 0, "log_sums: expected an even number of columns, got ",
              count);
  TORCH_CHECK(!in_batch || !problem.columns.defined() || problem.rows_among_columns,
              "log_sums: pairs in halves or interleaved are for rows among the columns");
  if (problem.pairing != Pairing::none || problem.rows_among_columns) {
    TORCH_CHECK(problem.row_offset >= 0 && problem.row_offset + rows.size(0) <= count,
                "log_sums: expected rows ", problem.row_offset, " to ",
                problem.row_offset + rows.size(0), " within ", count, " columns");
  }
  if (problem.row_ids.defined()) check_ids(problem.row_ids, rows.size(0), rows, "row_ids");
  if (problem.column_ids.defined()) check_ids(problem.column_ids, count, rows, "column_ids");
  TORCH_CHECK(problem.id_rule == IdRule::leave_out || problem.row_ids.defined(),
              "log_sums: IdRule::keep_only needs ids");
  const Tensor& inverse = problem.inverse_temperature;
  TORCH_CHECK(inverse.defined() && inverse.numel() == 1 &&
                  inverse.scalar_type() == torch::kFloat64 && inverse.device() == rows.device(),
              "log_sums: expected inverse_temperature() on ", rows.device());
}

}  // namespace

Tensor unit_rows(const Tensor& x0, const Tensor& x1) {
  TORCH_CHECK(x0.dim() == 2 && is_real(x0),
              "unit_rows: expected [N, D] of a floating-point type, got ", x0.scalar_type(), " ",
              x0.sizes());
  if (x1.defined()) {
    TORCH_CHECK(x1.dim() == 2 && x1.size(1) == x0.size(1) && x1.scalar_type() == x0.scalar_type() &&
                    x1.device() == x0.device(),
                "unit_rows: expected the second tensor as the first, ", x0.scalar_type(), " ",
                x0.sizes(), " on ", x0.device(), ", got ", x1.scalar_type(), " ", x1.sizes(),
                " on ", x1.device());
  }
  return UnitRows::apply(x0, some(x1));
}

Tensor inverse_temperature(double temperature, torch::Device device) {
  if (!(temperature > 0) || !std::isfinite(temperature)) {
    throw Error(ErrorKind::config,
                c10::str("temperature: expected a number above 0, got ", temperature));
  }
  return torch::full({}, 1 / temperature, torch::dtype(torch::kFloat64).device(device));
}

Tensor inverse_temperature(const Tensor& temperature, torch::Device device) {
  TORCH_CHECK(temperature.numel() == 1 && is_real(temperature),
              "temperature: expected one number of a floating-point type, got ",
              temperature.scalar_type(), " ", temperature.sizes());
  if (temperature.device().is_cpu()) inverse_temperature(temperature.item<double>(), device);
  return temperature.to(device, torch::kFloat64).reshape({}).reciprocal();
}

LogSums log_sums(const ContrastiveProblem& problem) {
  check(problem);
  const variable_list sums = ContrastiveLogSums::apply(problem.rows, problem.inverse_temperature,
                                                       some(problem.columns), problem);
  return {sums[0], sums[1], sums[2]};
}

}  // namespace clr
