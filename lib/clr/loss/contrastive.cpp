// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/contrastive.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <tuple>

#include "clr/core/error.h"
#include "clr/loss/contrastive_backend.h"
#include "clr/loss/op.h"
#include "clr/loss/row_loops.h"
#include "clr/loss/row_pieces.h"

namespace clr {
namespace {

using detail::in_pieces;
using detail::TileProblem;
using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<Tensor>;

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

void check_ids(const Tensor& ids, const c10::SymInt& count, const Tensor& rows, const char* name) {
  TORCH_CHECK(ids.dim() == 1 && ids.sym_size(0) == count && ids.scalar_type() == torch::kInt64 &&
                  ids.device() == rows.device(),
              "log_sums: expected ", name, " int64 [", count, "] on ", rows.device(), ", got ",
              ids.scalar_type(), " ", ids.sym_sizes(), " on ", ids.device());
}

void check(const ContrastiveProblem& problem) {
  const Tensor& rows = problem.rows;
  TORCH_CHECK(rows.defined() && rows.dim() == 2 && rows.sym_size(0) > 0 && rows.sym_size(1) > 0 &&
                  (rows.scalar_type() == torch::kFloat32 || rows.scalar_type() == torch::kFloat64),
              "log_sums: expected rows [M, D] of float32 or float64 (unit_rows makes them), got ",
              rows.defined() ? c10::str(rows.scalar_type(), " ", rows.sym_sizes()) : "none");
  c10::SymInt count = rows.sym_size(0);
  if (problem.columns.defined()) {
    const Tensor& columns = problem.columns;
    TORCH_CHECK(
        columns.dim() == 2 && columns.sym_size(0) > 0 && columns.sym_size(1) == rows.sym_size(1) &&
            columns.scalar_type() == rows.scalar_type() && columns.device() == rows.device(),
        "log_sums: expected columns [C, ", rows.sym_size(1), "] as the rows, ", rows.scalar_type(),
        " on ", rows.device(), ", got ", columns.scalar_type(), " ", columns.sym_sizes(), " on ",
        columns.device());
    count = columns.sym_size(0);
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
    TORCH_CHECK(problem.row_offset >= 0 && problem.row_offset + rows.sym_size(0) <= count,
                "log_sums: expected rows ", problem.row_offset, " to ",
                problem.row_offset + rows.sym_size(0), " within ", count, " columns");
  }
  if (problem.row_ids.defined()) check_ids(problem.row_ids, rows.sym_size(0), rows, "row_ids");
  if (problem.column_ids.defined()) check_ids(problem.column_ids, count, rows, "column_ids");
  TORCH_CHECK(problem.id_rule == IdRule::leave_out || problem.row_ids.defined(),
              "log_sums: IdRule::keep_only needs ids");
  const Tensor& inverse = problem.inverse_temperature;
  TORCH_CHECK(inverse.defined() && inverse.numel() == 1 &&
                  inverse.scalar_type() == torch::kFloat64 && inverse.device() == rows.device(),
              "log_sums: expected inverse_temperature() on ", rows.device());
}

TileProblem to_tiles(const ContrastiveProblem& problem) {
  TileProblem tiles;
  tiles.symmetric = !problem.columns.defined();
  tiles.rows = problem.rows.contiguous();
  tiles.columns = tiles.symmetric ? tiles.rows : problem.columns.contiguous();
  tiles.inverse_temperature = problem.inverse_temperature.reshape({});
  if (problem.row_ids.defined()) {
    tiles.row_ids = problem.row_ids.contiguous();
    tiles.column_ids =
        problem.column_ids.defined() ? problem.column_ids.contiguous() : tiles.row_ids;
  }
  tiles.column_sums = problem.column_sums;
  tiles.pairing = problem.pairing;
  tiles.rows_among_columns = tiles.symmetric || problem.rows_among_columns;
  tiles.row_offset = problem.row_offset;
  tiles.id_rule = problem.id_rule;
  tiles.cosine_limit = problem.cosine_limit;
  tiles.half_precision = problem.half_precision;
  return tiles;
}

/// What computes a problem.
enum class Kernels { streaming, cpu, cuda };

/// The one place where a back end is chosen, for the forward and the backward pass alike.
Kernels choose(const TileProblem& tiles, LossBackend backend) {
  const torch::Device device = tiles.rows.device();
  if (backend == LossBackend::streaming) return Kernels::streaming;
  if (device.is_cpu()) return detail::cpu_tiles_fit(tiles) ? Kernels::cpu : Kernels::streaming;
  if (backend == LossBackend::automatic) return Kernels::streaming;
  if (!device.is_cuda()) {
    throw Error(ErrorKind::device, c10::str("loss backend: expected auto or streaming on ", device,
                                            ", got fused; there is no fused kernel for it"));
  }
  return detail::cuda_kernels_fit(tiles) ? Kernels::cuda : Kernels::streaming;
}

/// A number is checked where it is given; a tensor here, where reading it makes nobody wait.
void check_temperature(const TileProblem& tiles) {
  if (!tiles.rows.is_cpu()) return;
  const auto inverse = tiles.inverse_temperature.item<double>();
  if (!(inverse > 0) || !std::isfinite(inverse)) {
    throw Error(ErrorKind::config,
                c10::str("temperature: expected a number above 0, got ", 1 / inverse));
  }
}

/// How many numbers log_sums is to keep for the backward pass: see log_sums_cpu. Not where the
/// sizes are symbols, as in a graph that is traced for all of them.
std::int64_t to_keep(const ContrastiveProblem& problem) {
  const Tensor& rows = problem.rows;
  const Tensor& columns = problem.columns;
  if (!at::GradMode::is_enabled() || !rows.device().is_cpu() ||
      rows.scalar_type() != torch::kFloat32 || problem.backend == LossBackend::streaming) {
    return 0;
  }
  if (!rows.requires_grad() && !problem.inverse_temperature.requires_grad() &&
      !(columns.defined() && columns.requires_grad())) {
    return 0;
  }
  const auto m = rows.sym_size(0).maybe_as_int();
  const auto c = columns.defined() ? columns.sym_size(0).maybe_as_int() : m;
  return m && c ? detail::kept_on_cpu(*m, *c, !columns.defined()) : 0;
}

/// Columns of rows' other views: int64 [count] from row `first` on.
Tensor partners(const TileProblem& problem, std::int64_t first, std::int64_t count) {
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
Tensor partner_rows(const TileProblem& problem, std::int64_t first, std::int64_t count) {
  // In halves or at the same index they follow each other, unless the two halves meet.
  const std::int64_t begin = problem.partner(first);
  if (problem.pairing != Pairing::interleaved &&
      problem.partner(first + count - 1) == begin + count - 1) {
    return problem.columns.narrow(0, begin, count);
  }
  return problem.columns.index_select(0, partners(problem, first, count));
}

/// Logarithms of the sums of rows and of columns, pairs, and what is kept for the backward pass.
std::tuple<Tensor, Tensor, Tensor, Tensor> forward(const ContrastiveProblem& problem,
                                                   std::int64_t keep) {
  const TileProblem tiles = to_tiles(problem);
  check_temperature(tiles);
  TORCH_CHECK(keep >= 0, "log_sums: expected keep >= 0, got ", keep);
  const std::int64_t m = tiles.rows.size(0);
  const auto sums = torch::dtype(torch::kFloat64).device(problem.rows.device());
  Tensor row_sums = at::empty({m}, sums);
  Tensor all_column_sums = at::empty({problem.column_sums ? tiles.columns.size(0) : 0}, sums);
  Tensor kept = at::empty({keep}, sums.dtype(torch::kFloat32));
  switch (choose(tiles, problem.backend)) {
    case Kernels::cpu:
      detail::log_sums_cpu(tiles, row_sums, all_column_sums, kept);
      break;
    case Kernels::cuda:
      detail::log_sums_cuda(tiles, row_sums, all_column_sums);
      break;
    case Kernels::streaming:
      detail::log_sums_streaming(tiles, row_sums, all_column_sums);
      break;
  }
  Tensor pairs = at::empty({tiles.pairing == Pairing::none ? 0 : m}, sums);
  if (tiles.pairing != Pairing::none && tiles.rows.is_cpu()) {
    detail::pair_products_cpu(tiles, tiles.inverse_temperature.item<double>(), pairs);
  } else if (tiles.pairing != Pairing::none) {
    in_pieces(m, problem.rows.device(), [&](std::int64_t first, std::int64_t count) {
      Tensor target = pairs.narrow(0, first, count);
      at::sum_out(target, tiles.rows.narrow(0, first, count) * partner_rows(tiles, first, count),
                  {1}, false, torch::kFloat64);
    });
    pairs.mul_(tiles.inverse_temperature);
  }
  return {row_sums, all_column_sums, pairs, kept};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> forward_meta(const ContrastiveProblem& problem,
                                                        std::int64_t keep) {
  const auto sums = problem.rows.options().dtype(torch::kFloat64);
  const c10::SymInt m = problem.rows.sym_size(0);
  return {
      at::empty_symint({m}, sums),
      at::empty_symint({problem.column_sums ? problem.columns.sym_size(0) : c10::SymInt(0)}, sums),
      at::empty_symint({problem.pairing == Pairing::none ? c10::SymInt(0) : m}, sums),
      at::empty({keep}, sums.dtype(torch::kFloat32))};
}

void check_vector(const OptionalTensor& x, std::int64_t count, const Tensor& rows,
                  const char* name) {
  TORCH_CHECK(!x || (x->dim() == 1 && x->size(0) == count && x->scalar_type() == torch::kFloat64 &&
                     x->device() == rows.device()),
              "log_sums_backward: expected ", name, " float64 [", count, "] on ", rows.device());
}

/// Gradients of rows, columns and 1 / temperature, the last two of no elements if not wanted.
std::tuple<Tensor, Tensor, Tensor> backward(const ContrastiveProblem& problem,
                                            const Tensor& row_sums, const Tensor& all_column_sums,
                                            const Tensor& kept, const OptionalTensor& row_slope,
                                            const OptionalTensor& column_slope,
                                            const OptionalTensor& pair_slope, bool wants_columns,
                                            bool wants_temperature) {
  const TileProblem tiles = to_tiles(problem);
  const std::int64_t m = tiles.rows.size(0);
  const std::int64_t c = tiles.columns.size(0);
  const bool paired = tiles.pairing != Pairing::none;
  check_vector(row_sums, m, problem.rows, "row_sums");
  check_vector(all_column_sums, problem.column_sums ? c : 0, problem.rows, "column_sums");
  check_vector(row_slope, m, problem.rows, "row_slope");
  check_vector(column_slope, problem.column_sums ? c : 0, problem.rows, "column_slope");
  check_vector(pair_slope, paired ? m : 0, problem.rows, "pair_slope");
  TORCH_CHECK(kept.dim() == 1 && kept.scalar_type() == torch::kFloat32 &&
                  kept.device() == problem.rows.device() && kept.is_contiguous(),
              "log_sums_backward: expected kept as log_sums gave it");

  wants_columns = wants_columns && !tiles.symmetric;
  Tensor row_gradient = at::zeros_like(tiles.rows);
  Tensor column_gradient = wants_columns ? at::zeros_like(tiles.columns) : Tensor();
  const Tensor slope = row_slope ? row_slope->contiguous() : at::zeros_like(row_sums);
  const Tensor other_slope =
      problem.column_sums && column_slope ? column_slope->contiguous() : Tensor();
  switch (choose(tiles, problem.backend)) {
    case Kernels::cpu:
      detail::gradients_cpu(tiles, kept, row_sums.contiguous(), all_column_sums.contiguous(), slope,
                            other_slope, row_gradient, column_gradient);
      break;
    case Kernels::cuda:
      detail::gradients_cuda(tiles, row_sums.contiguous(), all_column_sums.contiguous(), slope,
                             other_slope, row_gradient, column_gradient);
      break;
    case Kernels::streaming:
      detail::gradients_streaming(tiles, row_sums, all_column_sums, slope, other_slope,
                                  row_gradient, column_gradient);
      break;
  }
  if (paired && pair_slope && tiles.rows.is_cpu()) {
    detail::add_pair_gradients_cpu(tiles, pair_slope->contiguous(),
                                   tiles.inverse_temperature.item<double>(), row_gradient,
                                   column_gradient);
  } else if (paired && pair_slope) {
    const Tensor weights = *pair_slope * tiles.inverse_temperature;
    in_pieces(m, tiles.rows.device(), [&](std::int64_t first, std::int64_t count) {
      const Tensor partner = partners(tiles, first, count);
      const Tensor weight = weights.narrow(0, first, count);
      const Tensor both = (tiles.symmetric ? weight + weights.index_select(0, partner) : weight)
                              .unsqueeze(1)
                              .to(row_gradient.scalar_type());
      row_gradient.narrow(0, first, count).addcmul_(partner_rows(tiles, first, count), both);
      if (wants_columns) {
        // Each column is the partner of one row, so the order of additions does not matter.
        column_gradient.index_add_(0, partner, tiles.rows.narrow(0, first, count) * both);
      }
    });
  }
  Tensor temperature_gradient = at::empty({0}, row_sums.options());
  if (wants_temperature) {
    // Every term is cosine / temperature, of degree one in the row; in a symmetric problem each
    // term has two rows.
    Tensor radial = at::empty_like(row_sums);
    if (tiles.rows.is_cpu()) {
      detail::row_products_cpu(tiles.rows, row_gradient, radial);
    } else {
      in_pieces(m, tiles.rows.device(), [&](std::int64_t first, std::int64_t count) {
        Tensor target = radial.narrow(0, first, count);
        at::sum_out(target,
                    tiles.rows.narrow(0, first, count) * row_gradient.narrow(0, first, count), {1},
                    false, torch::kFloat64);
      });
    }
    temperature_gradient = radial.sum()
                               .div_(tiles.inverse_temperature * (tiles.symmetric ? 2 : 1))
                               .view(problem.inverse_temperature.sizes());
  }
  return {row_gradient, wants_columns ? column_gradient : at::empty({0}, problem.rows.options()),
          temperature_gradient};
}

std::tuple<Tensor, Tensor, Tensor> backward_meta(const ContrastiveProblem& problem,
                                                 const Tensor& row_sums, const Tensor&,
                                                 const Tensor&, const OptionalTensor&,
                                                 const OptionalTensor&, const OptionalTensor&,
                                                 bool wants_columns, bool wants_temperature) {
  const Tensor& rows = problem.rows;
  const Tensor& columns = problem.columns;
  const Tensor& inverse = problem.inverse_temperature;
  return {at::empty_symint(rows.sym_sizes(), rows.options()),
          columns.defined() && wants_columns ? at::empty_symint(columns.sym_sizes(), rows.options())
                                             : at::empty({0}, rows.options()),
          wants_temperature ? at::empty_symint(inverse.sym_sizes(), row_sums.options())
                            : at::empty({0}, row_sums.options())};
}

/// An op's kernel made of a function of a problem: the op's first arguments describe the problem,
/// the others are the function's own.
template <auto function>
struct ProblemKernel;
template <typename Result, typename... More, Result (*function)(const ContrastiveProblem&, More...)>
struct ProblemKernel<function> {
  static Result call(const Tensor& rows, const Tensor& inverse_temperature,
                     const OptionalTensor& columns, const OptionalTensor& row_ids,
                     const OptionalTensor& column_ids, std::string_view pairing,
                     bool rows_among_columns, std::int64_t row_offset, bool column_sums,
                     std::string_view id_rule, std::optional<double> cosine_limit,
                     std::string_view backend, bool half_precision, More... more) {
    ContrastiveProblem problem;
    problem.rows = rows;
    problem.columns = columns.value_or(Tensor());
    problem.inverse_temperature = inverse_temperature;
    problem.row_ids = row_ids.value_or(Tensor());
    problem.column_ids = column_ids.value_or(Tensor());
    problem.pairing = detail::enum_of<Pairing>(pairing, "pairing");
    problem.rows_among_columns = rows_among_columns;
    problem.row_offset = row_offset;
    problem.column_sums = column_sums;
    problem.id_rule = detail::enum_of<IdRule>(id_rule, "id_rule");
    problem.cosine_limit = cosine_limit.value_or(kNoLimit);
    problem.backend = detail::enum_of<LossBackend>(backend, "backend");
    problem.half_precision = half_precision;
    check(problem);
    return function(problem, more...);
  }
};

/// Calls the op whose kernel is ProblemKernel<function>.
template <auto function, typename... More>
auto call_op(const char* name, const ContrastiveProblem& problem, More&&... more) {
  static const auto op = detail::find_op<decltype(ProblemKernel<function>::call)>(name);
  return op.call(
      problem.rows, problem.inverse_temperature, detail::some(problem.columns),
      detail::some(problem.row_ids), detail::some(problem.column_ids),
      detail::name_of(problem.pairing), problem.rows_among_columns, problem.row_offset,
      problem.column_sums, detail::name_of(problem.id_rule),
      problem.cosine_limit < kNoLimit ? std::optional(problem.cosine_limit) : std::nullopt,
      detail::name_of(problem.backend), problem.half_precision, std::forward<More>(more)...);
}

auto call_forward(const ContrastiveProblem& problem, std::int64_t keep) {
  return call_op<&forward>("clr::log_sums", problem, keep);
}

class ContrastiveLogSums : public Function<ContrastiveLogSums> {
 public:
  /// What `problem` holds as tensors that need a graph comes as arguments of its own.
  static variable_list forward(AutogradContext* context, const Tensor& rows,
                               const Tensor& inverse_temperature, const OptionalTensor& columns,
                               const ContrastiveProblem& problem, std::int64_t keep) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [row_sums, column_sums, pairs, kept] = call_forward(problem, keep);
    context->set_materialize_grads(false);
    context->mark_non_differentiable({kept});
    context->save_for_backward({rows, columns.value_or(Tensor()), inverse_temperature, row_sums,
                                column_sums, problem.row_ids, problem.column_ids, kept});
    context->saved_data["integers"] =
        std::vector<std::int64_t>{static_cast<std::int64_t>(problem.pairing),
                                  problem.rows_among_columns,
                                  problem.row_offset,
                                  problem.column_sums,
                                  static_cast<std::int64_t>(problem.id_rule),
                                  static_cast<std::int64_t>(problem.backend),
                                  problem.half_precision};
    context->saved_data["cosine_limit"] = problem.cosine_limit;
    return {row_sums, column_sums, pairs, kept};
  }

  static variable_list backward(AutogradContext* context, variable_list slopes) {
    detail::refuse_double_backward("log_sums");
    const variable_list saved = context->get_saved_variables();
    const auto integers = context->saved_data["integers"].toIntVector();
    ContrastiveProblem problem;
    problem.rows = saved[0];
    problem.columns = saved[1];
    problem.inverse_temperature = saved[2];
    problem.row_ids = saved[5];
    problem.column_ids = saved[6];
    problem.pairing = static_cast<Pairing>(integers[0]);
    problem.rows_among_columns = integers[1] != 0;
    problem.row_offset = integers[2];
    problem.column_sums = integers[3] != 0;
    problem.id_rule = static_cast<IdRule>(integers[4]);
    problem.backend = static_cast<LossBackend>(integers[5]);
    problem.half_precision = integers[6] != 0;
    problem.cosine_limit = context->saved_data["cosine_limit"].toDouble();
    const bool wants_temperature = context->needs_input_grad(1);
    const bool wants_columns = saved[1].defined() && context->needs_input_grad(2);
    const auto [row_gradient, column_gradient, temperature_gradient] = call_op<&clr::backward>(
        "clr::log_sums_backward", problem, saved[3], saved[4], saved[7], detail::some(slopes[0]),
        detail::some(slopes[1]), detail::some(slopes[2]), wants_columns, wants_temperature);
    return {row_gradient, wants_temperature ? temperature_gradient : Tensor(),
            wants_columns ? column_gradient : Tensor(), Tensor(), Tensor()};
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensor> forward_autograd(const ContrastiveProblem& problem,
                                                            std::int64_t keep) {
  const variable_list results = ContrastiveLogSums::apply(
      problem.rows, problem.inverse_temperature, detail::some(problem.columns), problem, keep);
  return {results[0], results[1], results[2], results[3]};
}

}  // namespace

bool is_half_precision(const Tensor& x) {
  return x.scalar_type() == torch::kFloat16 || x.scalar_type() == torch::kBFloat16;
}

Tensor inverse_temperature(double temperature, torch::Device device) {
  if (!(temperature > 0) || !std::isfinite(temperature)) {
    throw Error(ErrorKind::config,
                c10::str("temperature: expected a number above 0, got ", temperature));
  }
  return at::full({}, 1 / temperature, torch::dtype(torch::kFloat64).device(device));
}

Tensor inverse_temperature(const Tensor& temperature, torch::Device device) {
  TORCH_CHECK(temperature.sym_numel() == 1 && temperature.is_floating_point(),
              "temperature: expected one number of a floating-point type, got ",
              temperature.scalar_type(), " ", temperature.sym_sizes());
  return temperature.to(device, torch::kFloat64).reshape({}).reciprocal();
}

Tensor pair_cross_entropy(const Tensor& pairs, const Tensor& others) {
  return at::softplus(others - pairs, 1, detail::kSoftplusLinear);
}

LogSums log_sums(const ContrastiveProblem& problem) {
  // The dispatcher would refuse them with a message of its own.
  TORCH_CHECK(problem.rows.defined(), "log_sums: expected rows [M, D], got none");
  TORCH_CHECK(problem.inverse_temperature.defined(),
              "log_sums: expected inverse_temperature(), got none");
  const auto [rows, columns, pairs, kept] = call_forward(problem, to_keep(problem));
  return {rows, columns, pairs};
}

TORCH_LIBRARY_FRAGMENT(clr, m) {
  const std::string problem =
      "Tensor rows, Tensor inverse_temperature, Tensor? columns=None, Tensor? row_ids=None, "
      "Tensor? column_ids=None, str pairing='none', bool rows_among_columns=False, "
      "int row_offset=0, bool column_sums=False, str id_rule='leave_out', "
      "float? cosine_limit=None, str backend='auto', bool half_precision=False";
  m.def(("log_sums(" + problem + ", int keep=0) -> (Tensor, Tensor, Tensor, Tensor)").c_str(),
        detail::op_tags());
  m.def(("log_sums_backward(" + problem +
         ", *, Tensor sums_of_rows, Tensor sums_of_columns, Tensor kept, Tensor? row_slope, "
         "Tensor? column_slope, Tensor? pair_slope, bool wants_columns, bool wants_temperature) -> "
         "(Tensor, Tensor, Tensor)")
            .c_str(),
        detail::op_tags());
  detail::add_kernels(m, "log_sums", &ProblemKernel<&forward>::call,
                      &ProblemKernel<&forward_meta>::call);
  detail::add_kernels(m, "log_sums_backward", &ProblemKernel<&backward>::call,
                      &ProblemKernel<&backward_meta>::call);
  m.impl("log_sums",
         torch::dispatch(c10::DispatchKey::Autograd, &ProblemKernel<&forward_autograd>::call));
  m.impl("log_sums_backward", torch::dispatch(c10::DispatchKey::Autograd,
                                              torch::autograd::autogradNotImplementedFallback()));
}

}  // namespace clr
