// SPDX-License-Identifier: Apache-2.0
#include "clr/loss/multi_view.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/eye.h>

namespace clr {

torch::Tensor multi_view_nt_xent(const torch::Tensor& views, double temperature,
                                 LossBackend backend, bool half_precision,
                                 const SharedBatch& shared) {
  TORCH_CHECK(
      views.dim() == 3 && views.size(0) >= 2 && (shared ? shared.images : views.size(1)) >= 2,
      "multi_view_nt_xent: expected views [V, N, D] with V >= 2 and N >= 2, got ", views.sizes());
  const std::int64_t v = views.size(0);
  const std::int64_t n = views.size(1);
  const std::int64_t images = shared ? shared.images : n;
  const std::int64_t first = shared ? shared.first : 0;
  // Views of an image follow each other, so that each process's rows do among the columns.
  const torch::Tensor rows = unit_rows(views.transpose(0, 1).flatten(0, 1));
  const torch::Tensor ids =
      at::arange(images, rows.options().dtype(torch::kInt64)).repeat_interleave(v);
  ContrastiveProblem problem;
  problem.rows = rows;
  problem.row_ids = ids.narrow(0, first * v, n * v);
  if (shared) {
    problem.columns = shared.gather(rows);
    problem.column_ids = ids;
    problem.rows_among_columns = true;
    problem.row_offset = first * v;
  }
  problem.inverse_temperature = inverse_temperature(temperature, rows.device());
  problem.backend = backend;
  problem.half_precision = half_precision || is_half_precision(views);
  const torch::Tensor others = log_sums(problem).rows.view({n, v, 1});
  const torch::Tensor by_image = rows.view({n, v, rows.size(1)});
  const torch::Tensor pairs =
      at::bmm(by_image, by_image.transpose(1, 2)).to(torch::kFloat64) * problem.inverse_temperature;
  const torch::Tensor two = 1 - at::eye(v, pairs.options());
  const torch::Tensor sum = (pair_cross_entropy(pairs, others) * two).sum();
  return (sum / static_cast<double>(images * v * (v - 1))).to(rows.scalar_type());
}

}  // namespace clr
