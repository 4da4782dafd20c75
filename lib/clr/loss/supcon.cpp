// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/supcon.h"

#include <ATen/ATen.h>

#include "clr/loss/op.h"

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

/// Labels as 0, 1, ... in their order. Everything here is as long as the labels, however many
/// classes there are: their number would have to be waited for.
Tensor dense_classes(const Tensor& labels) {
  const auto [sorted, order] = labels.sort();
  const Tensor begins = sorted.slice(0, 1) != sorted.slice(0, 0, -1);
  const Tensor classes = at::constant_pad_nd(begins.to(torch::kInt64).cumsum(0), {1, 0});
  return at::zeros_like(labels).scatter(0, order, classes);
}

Labelled labelled(const Tensor& z, const Tensor& labels, double temperature, LossBackend backend) {
  TORCH_CHECK(z.dim() == 2 && z.sym_size(0) >= 2,
              "supcon: expected a tensor [M, D] with M >= 2, got ", z.sym_sizes());
  TORCH_CHECK(labels.dim() == 1 && labels.sym_size(0) == z.sym_size(0) &&
                  labels.scalar_type() == torch::kInt64 && labels.device() == z.device(),
              "supcon: expected labels int64 [", z.sym_size(0), "] on ", z.device(), ", got ",
              labels.scalar_type(), " ", labels.sym_sizes(), " on ", labels.device());
  Labelled result;
  result.inverse_temperature = inverse_temperature(temperature, z.device());
  result.z = unit_rows(z);
  result.classes = dense_classes(labels);
  const Tensor ones = at::ones_like(labels, torch::kFloat64);
  const Tensor counts = at::zeros_like(ones).index_add(0, result.classes, ones);
  result.positives = counts.index_select(0, result.classes) - 1;
  ContrastiveProblem problem;
  problem.rows = result.z;
  problem.inverse_temperature = result.inverse_temperature;
  problem.backend = backend;
  problem.half_precision = is_half_precision(z);
  result.all = log_sums(problem).rows;
  return result;
}

}  // namespace

Tensor supcon_out(const Tensor& z, const Tensor& labels, double temperature, LossBackend backend) {
  const Labelled rows = labelled(z, labels, temperature, backend);
  // The mean logit of a row's positives needs no pairs: the sum of its class less the row itself
  // has it.
  const Tensor sums = at::zeros_like(rows.z).index_add(0, rows.classes, rows.z);
  const Tensor cosines =
      (rows.z * (sums.index_select(0, rows.classes) - rows.z)).sum(1, false, torch::kFloat64);
  return rows.reduce(rows.all - cosines / rows.positives.clamp_min(1) * rows.inverse_temperature);
}

Tensor supcon_in(const Tensor& z, const Tensor& labels, double temperature, LossBackend backend) {
  const Labelled rows = labelled(z, labels, temperature, backend);
  ContrastiveProblem problem;
  problem.rows = rows.z;
  problem.inverse_temperature = rows.inverse_temperature;
  problem.row_ids = labels;
  problem.id_rule = IdRule::keep_only;
  problem.backend = backend;
  problem.half_precision = is_half_precision(z);
  // A row without positives has a sum of nothing, whose logarithm must not reach the gradient.
  const Tensor same = log_sums(problem).rows.masked_fill(rows.positives == 0, 0);
  return rows.reduce(rows.all - same + rows.positives.clamp_min(1).log());
}

TORCH_LIBRARY_FRAGMENT(clr, m) {
  const auto add = [&m](const char* schema, auto loss) {
    m.def(
        schema,
        [loss](const Tensor& z, const Tensor& labels, double temperature,
               std::string_view backend) {
          return loss(z, labels, temperature, detail::enum_of<LossBackend>(backend, "backend"));
        },
        detail::op_tags());
  };
  add("supcon_out(Tensor z, Tensor labels, float temperature, *, str backend='auto') -> Tensor",
      &supcon_out);
  add("supcon_in(Tensor z, Tensor labels, float temperature, *, str backend='auto') -> Tensor",
      &supcon_in);
}

}  // namespace clr
