// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/supcon.h"

#include <ATen/ATen.h>

#include "clr/loss/contrastive.h"

namespace clr {
namespace {

using torch::Tensor;

/// What both forms are made of.
struct Labelled {
  Tensor z;
  Tensor inverse_temperature;
  Tensor classes;    ///< int64 [M]: labels as 0, 1, ...
  Tensor positives;  ///< float64 [M]: how many
  Tensor all;        ///< [M]: log-sums over all other rows

  /// Mean over the anchors that have a positive.
  Tensor reduce(const Tensor& losses) const {
    const Tensor has = positives > 0;
    return (losses.masked_fill(has.logical_not(), 0).sum() / has.sum().clamp_min(1))
        .to(z.scalar_type());
  }
};

Labelled labelled(const Tensor& z, const Tensor& labels, double temperature) {
  TORCH_CHECK(z.dim() == 2 && z.size(0) >= 2, "supcon: expected a tensor [M, D] with M >= 2, got ",
              z.sizes());
  TORCH_CHECK(labels.dim() == 1 && labels.size(0) == z.size(0) &&
                  labels.scalar_type() == torch::kInt64 && labels.device() == z.device(),
              "supcon: expected labels int64 [", z.size(0), "] on ", z.device(), ", got ",
              labels.scalar_type(), " ", labels.sizes(), " on ", labels.device());
  Labelled result;
  result.inverse_temperature = inverse_temperature(temperature, z.device());
  result.z = unit_rows(z);
  const auto [unique, classes, counts] = at::_unique2(labels, true, true, true);
  result.classes = classes;
  result.positives = (counts.index_select(0, classes) - 1).to(torch::kFloat64);
  ContrastiveProblem problem;
  problem.rows = result.z;
  problem.inverse_temperature = result.inverse_temperature;
  result.all = log_sums(problem).rows;
  return result;
}

}  // namespace

Tensor supcon_out(const Tensor& z, const Tensor& labels, double temperature) {
  const Labelled rows = labelled(z, labels, temperature);
  // The mean logit of a row's positives needs no pairs: the sum of its class less the row itself has it.
  const std::int64_t classes = rows.classes.max().item<std::int64_t>() + 1;
  const Tensor sums =
      torch::zeros({classes, z.size(1)}, rows.z.options()).index_add(0, rows.classes, rows.z);
  const Tensor cosines =
      (rows.z * (sums.index_select(0, rows.classes) - rows.z)).sum(1, false, torch::kFloat64);
  return rows.reduce(rows.all - cosines / rows.positives.clamp_min(1) * rows.inverse_temperature);
}

Tensor supcon_in(const Tensor& z, const Tensor& labels, double temperature) {
  const Labelled rows = labelled(z, labels, temperature);
  ContrastiveProblem problem;
  problem.rows = rows.z;
  problem.inverse_temperature = rows.inverse_temperature;
  problem.row_ids = labels;
  problem.id_rule = IdRule::keep_only;
  // A row without positives has a sum of nothing, whose logarithm must not reach the gradient.
  const Tensor same = log_sums(problem).rows.masked_fill(rows.positives == 0, 0);
  return rows.reduce(rows.all - same + rows.positives.clamp_min(1).log());
}

}  // namespace clr
