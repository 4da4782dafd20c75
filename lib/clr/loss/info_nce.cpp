// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/info_nce.h"

#include <ATen/ATen.h>

#include "clr/loss/op.h"

namespace clr {
namespace {

using torch::Tensor;

Tensor both_ways(const Tensor& z0, const Tensor& z1, const Tensor& inverse_temperature,
                 LossBackend backend) {
  TORCH_CHECK(z0.dim() == 2 && z0.sym_sizes() == z1.sym_sizes() && z0.sym_size(0) >= 2,
              "info_nce_both_ways: expected two tensors [N, D] with N >= 2, got ", z0.sym_sizes(),
              " and ", z1.sym_sizes());
  ContrastiveProblem problem;
  problem.rows = unit_rows(z0);
  problem.columns = unit_rows(z1);
  problem.inverse_temperature = inverse_temperature;
  problem.pairing = Pairing::same_index;
  problem.column_sums = true;
  problem.backend = backend;
  problem.half_precision = is_half_precision(z0);
  const LogSums sums = log_sums(problem);
  const Tensor forth = pair_cross_entropy(sums.pairs, sums.rows);
  const Tensor back = pair_cross_entropy(sums.pairs, sums.columns);
  return ((forth + back).mean() / 2).to(problem.rows.scalar_type());
}

}  // namespace

Tensor info_nce(const Tensor& query, const Tensor& key, const Tensor& queue, double temperature,
                LossBackend backend) {
  TORCH_CHECK(query.dim() == 2 && query.sym_sizes() == key.sym_sizes() && query.sym_size(0) >= 1,
              "info_nce: expected queries and keys [N, D], got ", query.sym_sizes(), " and ",
              key.sym_sizes());
  ContrastiveProblem problem;
  problem.backend = backend;
  problem.half_precision = is_half_precision(query);
  problem.inverse_temperature = inverse_temperature(temperature, query.device());
  problem.rows = unit_rows(query);
  problem.columns = unit_rows(queue.detach());
  const Tensor pairs =
      (problem.rows * unit_rows(key)).sum(1, false, torch::kFloat64) * problem.inverse_temperature;
  return pair_cross_entropy(pairs, log_sums(problem).rows).mean().to(problem.rows.scalar_type());
}

Tensor info_nce_in_batch(const Tensor& query, const Tensor& key, const Tensor& negatives,
                         double temperature, LossBackend backend, const SharedBatch& shared) {
  TORCH_CHECK(query.dim() == 2 && query.sizes() == key.sizes(),
              "info_nce_in_batch: expected queries and keys [N, D], got ", query.sizes(), " and ",
              key.sizes());
  const auto everyones = [&](const Tensor& x) { return shared ? shared.gather(x) : x; };
  ContrastiveProblem problem;
  problem.backend = backend;
  problem.half_precision = is_half_precision(query);
  problem.inverse_temperature = inverse_temperature(temperature, query.device());
  problem.rows = unit_rows(query);
  problem.columns = unit_rows(everyones(key));
  problem.pairing = Pairing::same_index;
  problem.row_offset = shared.first;
  const LogSums sums = log_sums(problem);
  Tensor others = sums.rows;
  if (negatives.defined()) {
    problem.columns = unit_rows(everyones(negatives));
    problem.pairing = Pairing::none;
    problem.row_offset = 0;
    others = at::logaddexp(others, log_sums(problem).rows);
  }
  const double share =
      shared ? static_cast<double>(query.size(0)) / static_cast<double>(shared.images) : 1.0;
  return (pair_cross_entropy(sums.pairs, others).mean() * share).to(problem.rows.scalar_type());
}

Tensor info_nce_both_ways(const Tensor& z0, const Tensor& z1, double temperature,
                          LossBackend backend) {
  return both_ways(z0, z1, inverse_temperature(temperature, z0.device()), backend);
}

Tensor info_nce_both_ways(const Tensor& z0, const Tensor& z1, const Tensor& temperature,
                          LossBackend backend) {
  return both_ways(z0, z1, inverse_temperature(temperature, z0.device()), backend);
}

TORCH_LIBRARY_FRAGMENT(clr, m) {
  m.def(
      "info_nce(Tensor query, Tensor key, Tensor queue, float temperature, *, str backend='auto') "
      "-> Tensor",
      [](const Tensor& query, const Tensor& key, const Tensor& queue, double temperature,
         std::string_view backend) {
        return info_nce(query, key, queue, temperature,
                        detail::enum_of<LossBackend>(backend, "backend"));
      },
      detail::op_tags());
  const auto both_ways_op = [](const Tensor& z0, const Tensor& z1, const auto& temperature,
                               std::string_view backend) {
    return info_nce_both_ways(z0, z1, temperature,
                              detail::enum_of<LossBackend>(backend, "backend"));
  };
  // First, as Python would turn the tensor into a number if it met the other one before.
  m.def(
      "info_nce_both_ways.tensor_temperature(Tensor z0, Tensor z1, Tensor temperature, *, "
      "str backend='auto') -> Tensor",
      [both_ways_op](const Tensor& z0, const Tensor& z1, const Tensor& temperature,
                     std::string_view backend) {
        return both_ways_op(z0, z1, temperature, backend);
      },
      detail::op_tags());
  m.def(
      "info_nce_both_ways(Tensor z0, Tensor z1, float temperature, *, str backend='auto') -> "
      "Tensor",
      [both_ways_op](const Tensor& z0, const Tensor& z1, double temperature,
                     std::string_view backend) {
        return both_ways_op(z0, z1, temperature, backend);
      },
      detail::op_tags());
}

}  // namespace clr
