// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/info_nce.h"

#include <ATen/ATen.h>

#include "clr/loss/contrastive.h"

namespace clr {
namespace {

using torch::Tensor;

constexpr double kSoftplusLinear = 40.0;

Tensor both_ways(const Tensor& z0, const Tensor& z1, const Tensor& inverse_temperature) {
  TORCH_CHECK(z0.dim() == 2 && z0.sizes() == z1.sizes() && z0.size(0) >= 2,
              "info_nce_both_ways: expected two tensors [N, D] with N >= 2, got ", z0.sizes(),
              " and ", z1.sizes());
  ContrastiveProblem problem;
  problem.rows = unit_rows(z0);
  problem.columns = unit_rows(z1);
  problem.inverse_temperature = inverse_temperature;
  problem.pairing = Pairing::same_index;
  problem.column_sums = true;
  const LogSums sums = log_sums(problem);
  const Tensor forth = at::softplus(sums.rows - sums.pairs, 1, kSoftplusLinear);
  const Tensor back = at::softplus(sums.columns - sums.pairs, 1, kSoftplusLinear);
  return ((forth + back).mean() / 2).to(problem.rows.scalar_type());
}

}  // namespace

Tensor info_nce(const Tensor& query, const Tensor& key, const Tensor& queue, double temperature) {
  TORCH_CHECK(query.dim() == 2 && query.sizes() == key.sizes() && query.size(0) >= 1,
              "info_nce: expected queries and keys [N, D], got ", query.sizes(), " and ",
              key.sizes());
  ContrastiveProblem problem;
  problem.inverse_temperature = inverse_temperature(temperature, query.device());
  problem.rows = unit_rows(query);
  problem.columns = unit_rows(queue.detach());
  const Tensor pairs =
      (problem.rows * unit_rows(key)).sum(1, false, torch::kFloat64) * problem.inverse_temperature;
  return at::softplus(log_sums(problem).rows - pairs, 1, kSoftplusLinear)
      .mean()
      .to(problem.rows.scalar_type());
}

Tensor info_nce_both_ways(const Tensor& z0, const Tensor& z1, double temperature) {
  return both_ways(z0, z1, inverse_temperature(temperature, z0.device()));
}

Tensor info_nce_both_ways(const Tensor& z0, const Tensor& z1, const Tensor& temperature) {
  return both_ways(z0, z1, inverse_temperature(temperature, z0.device()));
}

}  // namespace clr
