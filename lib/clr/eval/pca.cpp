// SPDX-License-Identifier: Apache-2.0
#include "clr/eval/pca.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace clr {

PlanarMap planar_pca(const torch::Tensor& rows) {
  TORCH_CHECK(rows.dim() == 2 && rows.size(0) >= 1, "planar_pca: rows ", rows.sizes());
  const at::NoGradGuard no_grad;
  const torch::Tensor exact = rows.to(torch::kCPU, torch::kFloat64);
  const torch::Tensor centred = exact - exact.mean(0);
  // Few rows of many columns: the products of rows have the same eigenvalues.
  const bool wide = rows.size(0) < rows.size(1);
  const auto [values, vectors] =
      at::linalg_eigh(wide ? at::mm(centred, centred.t()) : at::mm(centred.t(), centred));
  const double total = values.clamp_min(0.0).sum().item<double>();
  PlanarMap map{at::zeros({rows.size(0), 2}, torch::kFloat64), {0.0, 0.0}};
  for (std::int64_t i = 0; i < std::min<std::int64_t>(2, rows.size(1)); ++i) {
    const std::int64_t column = values.size(0) - 1 - i;  // eigenvalues rise
    if (column < 0) break;
    torch::Tensor direction = vectors.select(1, column);
    if (wide) {
      direction = at::mv(centred.t(), direction);
      direction = direction / direction.norm().clamp_min(1e-300);
    }
    if (direction[direction.abs().argmax()].item<double>() < 0) direction = -direction;
    map.points.select(1, i).copy_(at::mv(centred, direction));
    if (total > 0) map.shares[static_cast<std::size_t>(i)] = values[column].item<double>() / total;
  }
  return map;
}

}  // namespace clr
