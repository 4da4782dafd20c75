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
  Tensor columns;          ///< of all processes: [C, D]; of one, z
  Tensor column_labels;    ///< int64 [C]
  Tensor column_classes;   ///< int64 [C]: labels as 0, 1, ...
  std::int64_t first = 0;  ///< the column of the first row
  Tensor classes;          ///< int64 [M], the rows'
  Tensor positives;        ///< float64 [M]: how many
  Tensor anchors;          ///< how many rows of all processes have a positive
  Tensor all;              ///< [M]: log-sums over all other rows

  bool shared() const { return !columns.is_same(z); }

  /// The problem of all other rows.
  ContrastiveProblem problem() const {
    ContrastiveProblem problem;
    problem.rows = z;
    problem.inverse_temperature = inverse_temperature;
    if (!shared()) return problem;
    problem.columns = columns;
    problem.rows_among_columns = true;
    problem.row_offset = first;
    return problem;
  }

  /// Mean over the anchors that have a positive.
  Tensor reduce(const Tensor& losses) const {
    const Tensor has = positives > 0;
    return (losses.masked_fill(has.logical_not(), 0).sum() / anchors.clamp_min(1))
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

Labelled labelled(const Tensor& z, const Tensor& labels, double temperature, LossBackend backend,
                  const SharedBatch& shared) {
  TORCH_CHECK(z.dim() == 2 && z.sym_size(0) >= (shared ? 1 : 2),
              "supcon: expected a tensor [M, D] with M >= 2, got ", z.sym_sizes());
  TORCH_CHECK(labels.dim() == 1 && labels.sym_size(0) == z.sym_size(0) &&
                  labels.scalar_type() == torch::kInt64 && labels.device() == z.device(),
              "supcon: expected labels int64 [", z.sym_size(0), "] on ", z.device(), ", got ",
              labels.scalar_type(), " ", labels.sym_sizes(), " on ", labels.device());
  Labelled result;
  result.inverse_temperature = inverse_temperature(temperature, z.device());
  result.z = unit_rows(z);
  result.columns = shared ? shared.gather(result.z) : result.z;
  result.column_labels = shared ? shared.gather(labels) : labels;
  result.column_classes = dense_classes(result.column_labels);
  const Tensor ones = at::ones_like(result.column_labels, torch::kFloat64);
  const Tensor counts = at::zeros_like(ones).index_add(0, result.column_classes, ones);
  const Tensor positives = counts.index_select(0, result.column_classes) - 1;
  result.anchors = (positives > 0).sum();
  result.classes = result.column_classes;
  result.positives = positives;
  if (shared) {
    result.first = shared.first * (result.columns.size(0) / shared.images);
    result.classes = result.column_classes.narrow(0, result.first, z.size(0));
    result.positives = positives.narrow(0, result.first, z.size(0));
  }
  ContrastiveProblem problem = result.problem();
  problem.backend = backend;
  problem.half_precision = is_half_precision(z);
  result.all = log_sums(problem).rows;
  return result;
}

}  // namespace

Tensor supcon_out(const Tensor& z, const Tensor& labels, double temperature, LossBackend backend,
                  const SharedBatch& shared) {
  const Labelled rows = labelled(z, labels, temperature, backend, shared);
  // The mean logit of a row's positives needs no pairs: the sum of its class less the row itself
  // has it.
  const Tensor sums = at::zeros_like(rows.columns).index_add(0, rows.column_classes, rows.columns);
  const Tensor cosines =
      (rows.z * (sums.index_select(0, rows.classes) - rows.z)).sum(1, false, torch::kFloat64);
  return rows.reduce(rows.all - cosines / rows.positives.clamp_min(1) * rows.inverse_temperature);
}

Tensor supcon_in(const Tensor& z, const Tensor& labels, double temperature, LossBackend backend,
                 const SharedBatch& shared) {
  const Labelled rows = labelled(z, labels, temperature, backend, shared);
  ContrastiveProblem problem = rows.problem();
  problem.row_ids = labels;
  if (shared) problem.column_ids = rows.column_labels;
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
          return loss(z, labels, temperature, detail::enum_of<LossBackend>(backend, "backend"),
                      SharedBatch());
        },
        detail::op_tags());
  };
  add("supcon_out(Tensor z, Tensor labels, float temperature, *, str backend='auto') -> Tensor",
      &supcon_out);
  add("supcon_in(Tensor z, Tensor labels, float temperature, *, str backend='auto') -> Tensor",
      &supcon_in);
}

}  // namespace clr
